# Objects by the million: a distributed Map over the batches that a manifest is cut into.
# bulk.asl.json is made by the same script as machines/.
locals {
  bulk_name = "${var.name}-bulk"
  bulk_arn  = "arn:${local.partition}:states:${local.region}:${local.account}:stateMachine:${local.bulk_name}"
}

resource "aws_iam_role" "bulk" {
  name               = "${local.bulk_name}-machine"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "bulk" {
  #checkov:skip=CKV_AWS_356:Resource * only where AWS knows no other, each with its reason beside it
  #checkov:skip=CKV_AWS_111:writes without a resource are only those that AWS knows no resource for
  statement {
    sid       = "Batches"
    actions   = ["lambda:InvokeFunction"]
    resources = [var.bulk_function]
  }
  statement {
    sid       = "WhereBatchesLie"
    actions   = ["s3:GetObject"]
    resources = ["${var.raw_bucket_arn}/bulk-state/*"]
  }
  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }
  statement {
    sid       = "BatchesOfADistributedMap"
    actions   = ["states:StartExecution"]
    resources = [local.bulk_arn]
  }
  statement {
    sid       = "BatchesUnderWay"
    actions   = ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"]
    resources = ["arn:${local.partition}:states:${local.region}:${local.account}:execution:${local.bulk_name}/*"]
  }
  statement {
    sid = "LogDelivery"
    # Vended logs: none of these calls knows a resource.
    actions = [
      "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
      "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
    ]
    resources = ["*"]
  }
  dynamic "statement" {
    for_each = var.tracing ? [1] : []
    content {
      sid = "Traces"
      # X-Ray knows no resource.
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "bulk" {
  name   = "bring-batches"
  role   = aws_iam_role.bulk.id
  policy = data.aws_iam_policy_document.bulk.json
}

resource "aws_sfn_state_machine" "bulk" {
  #checkov:skip=CKV_AWS_285:failures are logged; the data of executions stays out of logs
  name       = local.bulk_name
  role_arn   = aws_iam_role.bulk.arn
  type       = "STANDARD"
  definition = templatefile("${path.module}/bulk.asl.json", { function = var.bulk_function })

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  depends_on = [aws_iam_role_policy.bulk]
}
