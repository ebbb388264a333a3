// Builds the image and pushes it to Docker Hub, registry.example:5000 and Amazon ECR, with Coopery:
// no Docker, no daemon, no privileges. Save this as Jenkinsfile.
//
// Before the first run:
//
// - Replace OWNER/coopery by the repository that you have Coopery from, and COMMIT by the full hash of
//   the commit that you trust: `coopery generate … --source OWNER/NAME@HASH` does that.
//
// - Replace 123456789012.dkr.ecr.eu-central-1.amazonaws.com/cooper/barrel by your image's name: `--image NAME` does that.
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
// - registry.example:5000: create a password, token or robot account that may pull and push.
//   Keep it in Jenkins (Manage Jenkins → Credentials → System → Global credentials → Add Credentials),
//   as a “Username with password” with the ID registry.
//
// - Amazon ECR, 123456789012.dkr.ecr.eu-central-1.amazonaws.com: make a user who may push, in the account 123456789012,
//   and an access key (`--keyless` makes a pipeline without any):
//
//     aws ecr create-repository --region eu-central-1 --repository-name cooper/barrel
//     aws iam create-user --user-name coopery-push
//     aws iam put-user-policy --user-name coopery-push --policy-name push --policy-document file://push.json
//     aws iam create-access-key --user-name coopery-push
//
//   push.json:
//
//     {
//       "Version": "2012-10-17",
//       "Statement": [
//         {
//           "Effect": "Allow",
//           "Action": "ecr:GetAuthorizationToken",
//           "Resource": "*"
//         },
//         {
//           "Effect": "Allow",
//           "Action": [
//             "ecr:BatchCheckLayerAvailability",
//             "ecr:BatchGetImage",
//             "ecr:CompleteLayerUpload",
//             "ecr:GetDownloadUrlForLayer",
//             "ecr:InitiateLayerUpload",
//             "ecr:PutImage",
//             "ecr:UploadLayerPart"
//           ],
//           "Resource": [
//             "arn:aws:ecr:eu-central-1:123456789012:repository/cooper/barrel"
//           ]
//         }
//       ]
//     }
//
//   Keep it in Jenkins (Manage Jenkins → Credentials → System → Global credentials → Add Credentials),
//   as “AWS Credentials” with the ID aws. The plugin AWS Credentials brings that kind.
//
// - Agents are found by the labels linux and arm64 (Manage Jenkins → Nodes → the node → Configure → Labels).
//
// - Make a Multibranch Pipeline of the repository, which discovers branches, tags and changes.
//
// The branch trunk and tags are built and pushed, changes (pull or merge requests) are built. Those of forks get no
// secrets, and don't write to the cache.
@Library('coopery@COMMIT') _

pipeline {
    agent { label 'linux && arm64' }
    stages {
        stage('Image') {
            when {
                beforeAgent true
                anyOf { branch 'trunk'; buildingTag(); changeRequest() }
            }
            steps {
                cooperyBuild(
                    images: [
                        'docker.io/cooper/barrel',
                        'registry.example:5000/team/barrel',
                        '123456789012.dkr.ecr.eu-central-1.amazonaws.com/cooper/barrel',
                    ],
                    tags: [
                        'type=ref,event=branch',
                        'type=ref,event=pr',
                        'type=semver,pattern={{version}}',
                        'type=semver,pattern={{major}}.{{minor}}',
                        'type=sha',
                    ],
                    platforms: ['linux/arm64'],
                    cacheRepository: 'docker.io/cooper/barrel-cache',
                    registries: [
                        [host: 'docker.io', credentialsId: 'dockerhub'],
                        [host: 'registry.example:5000', credentialsId: 'registry'],
                        [host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com', type: 'aws', credentialsId: 'aws'],
                    ],
                    install: 'coopery[aws] @ https://github.com/OWNER/coopery/archive/COMMIT.tar.gz',
                )
            }
        }
    }
}
