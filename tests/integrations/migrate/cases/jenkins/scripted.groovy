def app

node('docker') {
    stage('Clone') {
        checkout scm
    }
    stage('Build image') {
        dir('web') {
            app = docker.build "acme/web"
        }
    }
    stage('Test image') {
        app.inside {
            sh 'echo "Tests passed"'
        }
    }
    stage('Push image') {
        docker.withRegistry('', 'docker-hub') {
            app.push("${env.BUILD_NUMBER}")
            app.push("latest")
        }
    }
}
