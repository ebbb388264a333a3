@Library('coopery@0123456789abcdef0123456789abcdef01234567') _
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
                    // Not carried over: image: gcr.io/kaniko-project/executor:debug: the container is to run cooperyBuild (give it
                    //   an image that has Python 3.11 and Coopery, with `command: [sleep]` and `args: [infinity]`)
                    cooperyBuild(
                        image: "${IMAGE}",
                        tags: ["${env.BUILD_NUMBER}"],
                        buildArgs: [A: 'its'],
                        push: 'true',
                        cache: 'registry',
                        registries: [[host: 'ghcr.io', credentialsId: 'ghcr'], [host: 'registry.example', username: 'REG_USR', password: 'REG_PSW']],
                    )
                }
                // by docker
                sh 'npm ci'
                cooperyBuild(
                    image: "${env.IMAGE}",
                    tags: ["${env.GIT_COMMIT}"],
                    buildArgs: [P: 'a"b$c'],
                    push: 'true',
                    registries: [[host: 'ghcr.io', credentialsId: 'ghcr'], [host: 'registry.example', username: 'REG_USR', password: 'REG_PSW']],
                )
                sh './after "$X"'
                script {
                        cooperyBuild(
                            image: 'ghcr.io/acme/web',
                            tags: ["${env.BUILD_ID}", 'latest'],
                            file: 'docker/Dockerfile',
                            target: 'prod',
                            push: 'true',
                            registries: [[host: 'ghcr.io', credentialsId: 'ghcr'], [host: 'registry.example', username: 'REG_USR', password: 'REG_PSW']],
                        )
                }
            }
        }
    }
}
