// Builds the image and pushes it to Docker Hub, with Coopery:
// no Docker, no daemon, no privileges. Save this as Jenkinsfile.
//
// Before the first run:
//
// - Replace OWNER/coopery by the repository that you have Coopery from, and COMMIT by the full hash of
//   the commit that you trust: `coopery generate … --source OWNER/NAME@HASH` does that.
//
// - Replace docker.io/acme/shop by your image's name: `--image NAME` does that.
//
// - Make the library known: Manage Jenkins → System → Global Trusted Pipeline Libraries → Add. Its name is coopery, its
//   retrieval method Modern SCM with Git and https://github.com/OWNER/coopery.git, and under Advanced its
//   Library Path is integrations/jenkins/
//
// - Agents need Linux, and Python 3.11 or newer with venv.
//
// - Docker Hub: create an access token that may read and write
//   (https://app.docker.com, Account settings → Personal access tokens).
//   Keep it in Jenkins (Manage Jenkins → Credentials → System → Global credentials → Add Credentials),
//   as a “Username with password” with the ID dockerhub.
//
// - Steps are kept on the agent's disk, so this wants agents that stay.
//
// - Make a Multibranch Pipeline of the repository, which discovers branches, tags and changes.
//
// The branch main and tags are built and pushed, changes (pull or merge requests) are built. Those of forks get no
// secrets, and don't write to the cache.
@Library('coopery@COMMIT') _

pipeline {
    agent any
    stages {
        stage('Image') {
            when {
                beforeAgent true
                anyOf { branch 'main'; buildingTag(); changeRequest() }
            }
            steps {
                cooperyBuild(
                    image: 'docker.io/acme/shop',
                    tags: [
                        'type=ref,event=branch',
                        'type=ref,event=pr',
                        'type=semver,pattern={{version}}',
                        'type=semver,pattern={{major}}.{{minor}}',
                        'type=sha',
                    ],
                    cache: 'local',
                    registries: [
                        [host: 'docker.io', credentialsId: 'dockerhub'],
                    ],
                    install: 'coopery @ https://github.com/OWNER/coopery/archive/COMMIT.tar.gz',
                )
            }
        }
    }
}
