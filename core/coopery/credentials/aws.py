"""Elastic Container Registry, private and public: GetAuthorizationToken by botocore and its chain of credentials."""

from __future__ import annotations

import base64
import os
import re
from typing import Any

from coopery.credentials.cloud import Hop, Login, LoginFailed, quiet
from coopery.credentials.identity import AwsRole, JobTokens, who_says
from coopery.ports import Credential

PUBLIC = "public.ecr.aws"
#: Whom tokens are for that roles are assumed with; in China there is an AWS of its own.
AUDIENCE = "sts.amazonaws.com"
_AUDIENCE_CHINA = "sts.amazonaws.com.cn"
# The public registry's API is in this region only.
_PUBLIC_REGION = "us-east-1"
# Hosts of docs.aws.amazon.com/AmazonECR ("Registries", "Making requests over IPv6"), and of the ECR credential helper.
_PRIVATE = re.compile(
    r"(?P<account>[0-9]{12})\.dkr"
    r"(?:\.ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.(?:com|com\.cn|eu)"
    r"|-ecr(?P<dual_fips>-fips)?\.(?P<dual_region>[a-z0-9-]+)\.on\.(?:aws|amazonwebservices\.com\.cn))"
)
_SOURCES = (
    "AWS credentials come from AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, or the "
    "role of the container, pod or instance"
)


class Aws:
    """Logs in to ECR: as `role`, which the job's own token is exchanged for, or else as AWS's own tools would."""

    name = "AWS"
    extra = "aws"

    def __init__(self, role: AwsRole | None = None, tokens: JobTokens | None = None) -> None:
        """Both or neither."""
        self._role = role
        self._tokens = tokens

    def serves(self, host: str) -> bool:
        """Whether `host` is ECR's, in any partition."""
        return host == PUBLIC or _PRIVATE.fullmatch(host) is not None

    def mint(self, host: str) -> Login:
        """The user `AWS` and a password for 12 hours. Errors as `Cloud.mint`'s."""
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        quiet("botocore")
        match = _PRIVATE.fullmatch(host)
        region = _PUBLIC_REGION if match is None else match["region"] or match["dual_region"]
        hop: Hop = "exchange" if self._role else "identity"
        try:
            session = botocore.session.get_session()
            if self._role and self._role.region:
                session.set_config_variable("region", self._role.region)
            elif session.get_config_variable("region") is None:
                # Roles are assumed in the user's region, or else in the registry's: it is in the right partition.
                session.set_config_variable("region", os.environ.get("AWS_REGION") or region)
            keys = self._assumed(session, self._role) if self._role else _found(session)
            hop = "token"
            options: dict[str, Any] = {
                "connect_timeout": 10,
                "read_timeout": 20,
                "retries": {"mode": "standard", "max_attempts": 3},
            }
            if match is None:
                client = session.create_client("ecr-public", region_name=region, config=Config(**options), **keys)
                data = client.get_authorization_token()["authorizationData"]
            else:
                # Left unset, these follow the user's own settings.
                if match["fips"] or match["dual_fips"]:
                    options["use_fips_endpoint"] = True
                if match["dual_region"]:
                    options["use_dualstack_endpoint"] = True
                client = session.create_client("ecr", region_name=region, config=Config(**options), **keys)
                data = client.get_authorization_token(registryIds=[match["account"]])["authorizationData"][0]
            pair = base64.b64decode(data["authorizationToken"], validate=True).decode()
            user, _, password = pair.partition(":")
            return Login(Credential(user, password), data["expiresAt"].timestamp())
        except ClientError as error:
            raise _refused(error, public=match is None) from None
        except (BotoCoreError, OSError) as error:
            raise LoginFailed(hop, str(error), _SOURCES if hop == "identity" else "") from None
        except (LookupError, ValueError, AttributeError):
            raise LoginFailed("token", "GetAuthorizationToken answered without a token") from None

    def rights(self, action: str) -> str:
        """The permissions, by their names in policies."""
        if action == "pull":
            return "to pull, it needs ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on an existing repository"
        return (
            f"to {action}, it needs ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, "
            "ecr:CompleteLayerUpload and ecr:PutImage on an existing repository (ecr-public:… for public.ecr.aws)"
        )

    def _assumed(self, session: Any, role: AwsRole) -> dict[str, str]:
        """The keys of a session of the role, by AssumeRoleWithWebIdentity."""
        from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher
        from botocore.exceptions import ClientError

        assert self._tokens
        audience = _AUDIENCE_CHINA if role.arn.startswith("arn:aws-cn:") else AUDIENCE
        token = self._tokens.mint(audience)
        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=session.create_client,
            web_identity_token_loader=lambda: token,
            role_arn=role.arn,
            extra_args={"RoleSessionName": role.session, "DurationSeconds": role.seconds},
        )
        try:
            found = fetcher.fetch_credentials()
        except ClientError as error:
            hint = (
                f"the trust policy of {role.arn} must allow sts:AssumeRoleWithWebIdentity to the account's identity "
                f"provider for the token's issuer, on conditions that fit it: {who_says(token)}"
            )
            raise LoginFailed("exchange", _said(error), hint) from None
        return _keys(found["access_key"], found["secret_key"], found["token"])


def _found(session: Any) -> dict[str, str]:
    """The keys that AWS's own tools would find; a role is assumed now, so that its failure is told from the next."""
    credentials = session.get_credentials()
    if credentials is None:
        raise LoginFailed("identity", "there are no AWS credentials here", _SOURCES)
    found = credentials.get_frozen_credentials()
    return _keys(found.access_key, found.secret_key, found.token)


def _keys(access: str, secret: str, token: str | None) -> dict[str, str]:
    found = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    return found | {"aws_session_token": token} if token else found


def _said(error: Any) -> str:
    """What one of AWS's services said; `error` is a botocore ClientError."""
    said = error.response.get("Error", {})
    return f"{error.operation_name}: {said.get('Code', 'error')}: {said.get('Message', '')}"


def _refused(error: Any, *, public: bool) -> LoginFailed:
    text = _said(error)
    if error.operation_name != "GetAuthorizationToken":
        return LoginFailed("exchange", text, "check the role's trust policy, and the audience and subject of the token")
    if public:
        return LoginFailed("token", text, "it needs ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken")
    return LoginFailed("token", text, "it needs ecr:GetAuthorizationToken on *")
