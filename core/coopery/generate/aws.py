"""AWS's policies for whoever pushes to ECR (docs.aws.amazon.com: AmazonECR, "Pushing an image"; IAM, "OIDC")."""

from __future__ import annotations

import json
from collections.abc import Sequence

from coopery.generate.plan import Place

#: What the role, or the user, is called.
PUSHER = "coopery-push"

_ACTIONS = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)


def partition(place: Place) -> str:
    """The part of AWS that the registry is in."""
    if place.host.endswith(".cn"):
        return "aws-cn"
    return "aws-us-gov" if place.region.startswith("us-gov-") else "aws"


def audience(place: Place) -> str:
    """Whom jobs' tokens have to be for."""
    return "sts.amazonaws.com.cn" if partition(place) == "aws-cn" else "sts.amazonaws.com"


def role(place: Place) -> str:
    """The ARN of the role that jobs assume."""
    return f"arn:{partition(place)}:iam::{place.account}:role/{PUSHER}"


def trust_policy(place: Place, issuer: str, subjects: Sequence[str]) -> str:
    """JSON: who may assume the role, jobs whose tokens `issuer` (without its scheme) signs for one of `subjects`, in
    which `*` stands for anything.
    """
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:{partition(place)}:iam::{place.account}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {f"{issuer}:aud": audience(place)},
            "StringLike": {f"{issuer}:sub": list(subjects)},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def push_policy(place: Place, repositories: Sequence[str]) -> str:
    """JSON: what the role or user may do, push to `repositories` (without the registry's host) and pull from them."""
    where = f"arn:{partition(place)}:ecr:{place.region}:{place.account}:repository/"
    statements = [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": list(_ACTIONS), "Resource": [where + name for name in repositories]},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
