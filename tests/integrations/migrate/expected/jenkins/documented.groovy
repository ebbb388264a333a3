@Library('coopery@0123456789abcdef0123456789abcdef01234567') _
node {
    checkout scm


        cooperyBuild(
            image: 'registry.example.com/my-image',
            tags: ["${env.BUILD_ID}", 'latest'],
            push: 'true',
            registries: [[host: 'registry.example.com', credentialsId: 'credentials-id']],
        )

        /* Push the container to the custom Registry */
}
