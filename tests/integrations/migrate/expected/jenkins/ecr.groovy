@Library('coopery@0123456789abcdef0123456789abcdef01234567') _
pipeline {
    agent { label 'linux' }
    stages {
        stage('Push') {
            steps {
                script {
                        cooperyBuild(
                            image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop',
                            tags: ["${env.GIT_COMMIT}"],
                            target: 'prod',
                            buildArgs: [NAME: 'the shop'],
                            pull: true,
                            push: 'true',
                            registries: [[host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com', credentialsId: 'ecr:eu-central-1:aws']],
                        )
                }
            }
        }
    }
}
