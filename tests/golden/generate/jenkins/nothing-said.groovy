// Builds the image and pushes it to GitHub's container registry, with Coopery:
// no Docker, no daemon, no privileges. Save this as Jenkinsfile.
//
// Before the first run:
//
// - Replace OWNER/coopery by the repository that you have Coopery from, and COMMIT by the full hash of
//   the commit that you trust: `coopery generate … --source OWNER/NAME@HASH` does that.
//
// - Replace ghcr.io/acme/shop by your image's name: `--image NAME` does that.
//
// - Make the library known: Manage Jenkins → System → Global Trusted Pipeline Libraries → Add. Its name is coopery, its
//   retrieval method Modern SCM with Git and https://github.com/OWNER/coopery.git, and under Advanced its
//   Library Path is integrations/jenkins/
//
// - Agents need Linux, and Python 3.11 or newer with venv.
//
// - GitHub's container registry: create a personal access token (classic) with the scope write:packages
//   (https://github.com/settings/tokens/new?scopes=write:packages).
//   Keep it in Jenkins (Manage Jenkins → Credentials → System → Global credentials → Add Credentials),
//   as a “Username with password” with the ID ghcr.
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
                    image: 'ghcr.io/acme/shop',
                    tags: [
                        'type=ref,event=branch',
                        'type=ref,event=pr',
                        'type=semver,pattern={{version}}',
                        'type=semver,pattern={{major}}.{{minor}}',
                        'type=sha',
                    ],
                    registries: [
                        [host: 'ghcr.io', credentialsId: 'ghcr'],
                    ],
                    install: 'coopery @ https://github.com/OWNER/coopery/archive/COMMIT.tar.gz',
                )
            }
        }
    }
}
