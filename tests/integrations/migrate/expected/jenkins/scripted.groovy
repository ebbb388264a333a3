@Library('coopery@0123456789abcdef0123456789abcdef01234567') _
def app

node('docker') {
    stage('Clone') {
        checkout scm
    }
    stage('Build image') {
        dir('web') {
            // Not carried over: app.inside: there is no object of Docker's (cooperyBuild returns a map with digest, tags and
            //   more)
            cooperyBuild(
                image: 'acme/web',
                tags: ['latest', "${env.BUILD_NUMBER}"],
                push: 'true',
                registries: [[host: 'docker.io', credentialsId: 'docker-hub']],
            )
        }
    }
    stage('Test image') {
        app.inside {
            sh 'echo "Tests passed"'
        }
    }
    stage('Push image') {
            echo 'Done by cooperyBuild.'
    }
}
