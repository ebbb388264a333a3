podTemplate(yaml: '''
    apiVersion: v1
    kind: Pod
    spec:
      containers:
      - name: kaniko
        image: gcr.io/kaniko-project/executor:debug
        command: [sleep]
        args: ["9999999"]
        volumeMounts:
        - {name: kaniko-secret, mountPath: /kaniko/.docker}
      volumes:
      - name: kaniko-secret
        secret: {secretName: dockercred}
''') {
  node(POD_LABEL) {
    stage('Build') {
      container('kaniko') {
        sh '''
          /kaniko/executor --context `pwd` --dockerfile src/Dockerfile \
            --destination acme/shop:$BUILD_NUMBER --destination acme/shop:latest \
            --cleanup --insecure --cache=true --no-push-cache
        '''
      }
    }
  }
}
