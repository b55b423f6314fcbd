#!/bin/sh
# destroy.sh ENV [--with-data] [terraform options]: asks, then takes ENV away. Buckets with images, the table and the key stay unless told.
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
data=kept
if [ "${1:-}" = --with-data ]; then
    data=destroyed
    shift
fi
region=${AWS_REGION:-us-east-1}

echo "Everything of isocenter-$environment in $region is destroyed. Images, table and key are $data."
printf 'Type the name of the environment to go on: '
read -r typed
if [ "$typed" != "$environment" ]; then
    echo "nothing was done" >&2
    exit 1
fi

if [ "$data" = kept ]; then
    # What Terraform does not know it does not destroy. A later deploy finds them by `terraform import`.
    kept=$(terraform -chdir="$folder" state list \
        module.gateway.module.storage module.gateway.module.index module.gateway.module.key | grep -v '\.data\.')
    set -f # addresses have brackets in them
    # shellcheck disable=SC2086
    terraform -chdir="$folder" state rm $kept
    set +f
fi
if ! terraform -chdir="$folder" destroy -var="region=$region" -auto-approve "$@"; then
    echo "Something stayed: what holds data in prod protects itself. Set keep_data to false in" >&2
    echo "infra/terraform/environments/$environment/main.tf, apply, and come again." >&2
    exit 1
fi
