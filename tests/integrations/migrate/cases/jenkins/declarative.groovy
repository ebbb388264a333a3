@Library('shared') _

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
                    sh 'echo $GH_TOKEN | docker login $REGISTRY -u $GH_USER --password-stdin'
                    sh """
                        docker build --build-arg FLAVOUR=${params.FLAVOUR} \\
                          --label 'who="me"' -t ${REGISTRY}/acme/shop:${VERSION} \\
                          -t \$REGISTRY/acme/shop:latest .
                        docker push ${REGISTRY}/acme/shop:${VERSION}
                    """
                    sh "docker push ${REGISTRY}/acme/shop:latest"
                }
            }
        }
    }
    post {
        always { sh 'docker logout ghcr.io' }
    }
}
