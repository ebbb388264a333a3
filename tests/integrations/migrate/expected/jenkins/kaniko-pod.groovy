@Library('coopery@0123456789abcdef0123456789abcdef01234567') _
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
        // Not carried over: image: gcr.io/kaniko-project/executor:debug: the container is to run cooperyBuild (give it
        //   an image that has Python 3.11 and Coopery, with `command: [sleep]` and `args: [infinity]`)
        cooperyBuild(
            image: 'acme/shop',
            tags: ["${env.BUILD_NUMBER}", 'latest'],
            file: 'src/Dockerfile',
            push: 'true',
            cacheFrom: ['type=registry,ref=acme/shop/cache'],
            registries: [[host: 'docker.io', insecure: true]],
        )
      }
    }
  }
}
