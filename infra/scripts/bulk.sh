#!/bin/sh
# bulk.sh ENV s3://bucket/manifest [PERCENT]: takes in what the manifest names, and says how far it is until it is over.
# PERCENT of the batches may fail for good before it gives up, 5 without it. The same manifest again does what is left.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder="$here/../terraform/environments/${1:-}"
if [ $# -lt 2 ] || [ ! -f "$folder/main.tf" ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
tolerated=${3:-5}
machine=$(terraform -chdir="$folder" output -raw bulk_machine)
input=$(printf '{"manifest": "%s", "tolerated": %d}' "$2" "$tolerated")
execution=$(aws stepfunctions start-execution --state-machine-arn "$machine" --input "$input" \
    --query executionArn --output text)
state=RUNNING
while [ "$state" = RUNNING ]; do
    sleep "${BULK_LOOK:-5}"
    run=$(aws stepfunctions list-map-runs --execution-arn "$execution" --query 'mapRuns[0].mapRunArn' --output text)
    if [ "$run" != None ]; then
        aws stepfunctions describe-map-run --map-run-arn "$run" --output text \
            --query 'join(`, `, [join(` `, [to_string(itemCounts.succeeded), `of`, to_string(itemCounts.total), `batches`]), join(` `, [to_string(itemCounts.failed), `failed`])])'
    fi
    state=$(aws stepfunctions describe-execution --execution-arn "$execution" --query status --output text)
done
echo "$state"
aws stepfunctions describe-execution --execution-arn "$execution" --query 'output || cause' --output text
[ "$state" = SUCCEEDED ]
