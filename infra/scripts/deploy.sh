#!/bin/sh
# deploy.sh ENV [terraform options]: makes the packages, the bucket of the state where there is none, and all of ENV.
# Packages are for Python 3.12 (PYTHON_VERSION), the first whose runtime has a glibc that the wheels load with.
# AWS_PROFILE or AWS_ACCESS_KEY_ID say in whose name. STATE_BUCKET names another bucket, AWS_REGION another region.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
environment=${1:-}
folder="$root/infra/terraform/environments/$environment"
if [ -z "$environment" ] || [ ! -f "$folder/main.tf" ]; then
    echo "which environment? one of: $(ls "$root/infra/terraform/environments" | tr '\n' ' ')" >&2
    exit 2
fi
shift
region=${AWS_REGION:-us-east-1}
account=$(aws sts get-caller-identity --query Account --output text)
bucket=${STATE_BUCKET:-isocenter-state-$account-$region}

make -C "$root" lambda PYTHON_VERSION="${PYTHON_VERSION:-3.12}" ARCHITECTURE="${ARCHITECTURE:-}"

if ! aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
    echo "making the bucket of the state: $bucket"
    if [ "$region" = us-east-1 ]; then
        aws s3api create-bucket --bucket "$bucket" --region "$region" >/dev/null
    else
        aws s3api create-bucket --bucket "$bucket" --region "$region" \
            --create-bucket-configuration "LocationConstraint=$region" >/dev/null
    fi
    aws s3api put-bucket-versioning --bucket "$bucket" --versioning-configuration Status=Enabled
    aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
fi

terraform -chdir="$folder" init -input=false -reconfigure \
    -backend-config="bucket=$bucket" -backend-config="region=$region" ${TF_PLUGIN_DIR:+-plugin-dir="$TF_PLUGIN_DIR"}
terraform -chdir="$folder" apply -var="region=$region" "$@"
echo
echo "The API answers at $(terraform -chdir="$folder" output -raw url)"
