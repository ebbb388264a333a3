pipeline {
    agent {
        kubernetes {
            yaml '''
kind: Pod
spec:
  containers:
    - name: kaniko
      image: gcr.io/kaniko-project/executor:debug
'''
        }
    }
    environment {
        IMAGE = 'registry.example/acme/shop'
        REG = credentials('reg')
    }
    stages {
        stage('Build') {
            steps {
                container('kaniko') {
                    sh "/kaniko/executor --context `pwd` --destination ${IMAGE}:${env.BUILD_NUMBER} --build-arg A='it''s' --cache"
                }
                // by docker
                sh '''
                    npm ci
                    echo "$REG_PSW" | docker login -u $REG_USR --password-stdin registry.example
                    docker build -t $IMAGE:$GIT_COMMIT --build-arg 'P=a"b$c' .
                    docker push $IMAGE:$GIT_COMMIT
                    ./after "$X"
                '''
                script {
                    docker.withRegistry('https://ghcr.io', 'ghcr') {
                        def img = docker.build("acme/web:${env.BUILD_ID}", "-f docker/Dockerfile --target prod .")
                        img.push()
                        img.push('latest')
                    }
                }
            }
        }
    }
}
