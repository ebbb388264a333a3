// Builds the image and pushes it to Amazon ECR, with Coopery:
// no Docker, no daemon, no privileges. Save this as Jenkinsfile.
//
// Before the first run:
//
// - Replace 123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/shop by your image's name: `--image NAME` does that.
//
// - Make the library known: Manage Jenkins → System → Global Trusted Pipeline Libraries → Add. Its name is coopery, its
//   retrieval method Modern SCM with Git and https://github.com/acme/coopery.git, and under Advanced its
//   Library Path is integrations/jenkins/
//
// - Agents need Linux, and Python 3.11 or newer with venv.
//
// - Amazon ECR, 123456789012.dkr.ecr.eu-central-1.amazonaws.com: nothing secret is stored,
//   as AWS trusts the identity that each job has. Set that up once, in the account 123456789012:
//
//     aws ecr create-repository --region eu-central-1 --repository-name acme/shop
//     aws ecr create-repository --region eu-central-1 --repository-name acme/shop/cache
//     aws iam create-open-id-connect-provider --url https://jenkins.example/oidc --client-id-list sts.amazonaws.com
//     aws iam create-role --role-name coopery-push --assume-role-policy-document file://trust.json
//     aws iam put-role-policy --role-name coopery-push --policy-name push --policy-document file://push.json
//
//   trust.json lets jobs for the branch main and for tags be that role:
//
//     {
//       "Version": "2012-10-17",
//       "Statement": [
//         {
//           "Effect": "Allow",
//           "Principal": {
//             "Federated": "arn:aws:iam::123456789012:oidc-provider/jenkins.example/oidc"
//           },
//           "Action": "sts:AssumeRoleWithWebIdentity",
//           "Condition": {
//             "StringEquals": {
//               "jenkins.example/oidc:aud": "sts.amazonaws.com"
//             },
//             "StringLike": {
//               "jenkins.example/oidc:sub": [
//                 "https://jenkins.example/job/shop/job/main/",
//                 "https://jenkins.example/job/shop/job/v*/"
//               ]
//             }
//           }
//         }
//       ]
//     }
//
//   push.json lets that role push:
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
//             "arn:aws:ecr:eu-central-1:123456789012:repository/acme/shop",
//             "arn:aws:ecr:eu-central-1:123456789012:repository/acme/shop/cache"
//           ]
//         }
//       ]
//     }
//
//   The subject is the address of the branch's job; write your own Jenkins' in place of jenkins.example, and your folders.
//   AWS has to reach it, by HTTPS.
//
// - The identity: with the plugin OpenID Connect Provider, make (Manage Jenkins → Credentials → System → Global credentials → Add Credentials)
//   an “OpenID Connect id token” with the ID aws-identity and the audience sts.amazonaws.com.
//
// - Agents are found by the labels linux and amd64, arm64 (Manage Jenkins → Nodes → the node → Configure → Labels).
//
// - Make a Multibranch Pipeline of the repository, which discovers branches, tags and changes.
//
// The branch main and tags are built and pushed, changes (pull or merge requests) are built. Those of forks get no
// secrets, and don't write to the cache.
@Library('coopery@0123456789abcdef0123456789abcdef01234567') _

def settings = [
    image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/shop',
    tags: [
        'type=ref,event=branch',
        'type=ref,event=pr',
        'type=semver,pattern={{version}}',
        'type=semver,pattern={{major}}.{{minor}}',
        'type=sha',
    ],
    platforms: ['linux/amd64', 'linux/arm64'],
    cache: 'registry',
    registries: [
        [host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com', role: 'arn:aws:iam::123456789012:role/coopery-push'],
    ],
    identityTokens: ['sts.amazonaws.com': 'aws-identity'],
    install: 'coopery[aws] @ https://github.com/acme/coopery/archive/0123456789abcdef0123456789abcdef01234567.tar.gz',
]

pipeline {
    agent none
    stages {
        stage('Platforms') {
            when {
                beforeAgent true
                anyOf { branch 'main'; buildingTag(); changeRequest() }
            }
            // Each is built on an agent of its kind, and pushed under a temporary name.
            matrix {
                axes {
                    axis {
                        name 'ARCH'
                        values 'amd64', 'arm64'
                    }
                }
                agent { label "linux && ${ARCH}" }
                stages {
                    stage('Build') {
                        steps {
                            cooperyBuild(settings + [onlyPlatform: "linux/${ARCH}".toString(), name: ARCH])
                        }
                    }
                }
            }
        }
        stage('Image') {
            // Joins them under the real names.
            when {
                beforeAgent true
                anyOf { branch 'main'; buildingTag(); changeRequest() }
            }
            agent { label 'linux' }
            steps {
                cooperyMerge(settings)
            }
        }
    }
}
