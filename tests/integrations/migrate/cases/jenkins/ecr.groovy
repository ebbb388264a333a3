pipeline {
    agent { label 'linux' }
    stages {
        stage('Push') {
            steps {
                script {
                    docker.withRegistry('https://123456789012.dkr.ecr.eu-central-1.amazonaws.com', 'ecr:eu-central-1:aws') {
                        docker.build('shop', '--pull --target prod --build-arg "NAME=the shop" .').push(env.GIT_COMMIT)
                    }
                }
            }
        }
    }
}
