@Library('shared') _
library 'coopery@0123456789abcdef0123456789abcdef01234567'

pipeline {
    agent any
    parameters { string(name: 'FLAVOUR', defaultValue: 'mint') }
    environment {
        REGISTRY = 'ghcr.io'
        VERSION = "1.${BUILD_NUMBER}"
    }
    stages {
        stage('Test') { steps { sh 'make test' } }
        stage('Image') {
            when { branch 'main' }
            steps {
                withCredentials([usernamePassword(credentialsId: 'ghcr', usernameVariable: 'GH_USER', passwordVariable: 'GH_TOKEN')]) {
                    cooperyBuild(
                        image: "${REGISTRY}/acme/shop",
                        tags: ["${VERSION}", 'latest'],
                        labels: [who: '"me"'],
                        buildArgs: [FLAVOUR: "${params.FLAVOUR}"],
                        push: 'true',
                        registries: [[host: "${env.REGISTRY}", username: 'GH_USER', password: 'GH_TOKEN']],
                    )
                }
            }
        }
    }
    post {
        always { echo 'Done by cooperyBuild.' }
    }
}
