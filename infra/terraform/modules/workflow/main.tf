# A state machine for each plan, for jobs of any size, and an express one for jobs of one chunk.
# machines/ is what `isocenter pipeline asl` prints; scripts/lambda-machines writes it anew.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.name

  files = fileset("${path.module}/machines", "*.asl.json")
  machines = { for file in local.files : trimsuffix(file, ".asl.json") => {
    file    = file
    plan    = trimsuffix(trimsuffix(file, ".asl.json"), ".express")
    express = endswith(file, ".express.asl.json")
    name    = "${var.name}-${replace(trimsuffix(file, ".asl.json"), ".", "-")}"
  } }
  # By name, not by the resource: functions are told of machines, and machines of functions.
  arns = { for key, machine in local.machines : key => "arn:${local.partition}:states:${local.region}:${local.account}:stateMachine:${machine.name}" }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:how long lines are kept is a variable
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.kms_key_arn
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-machines"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "this" {
  #checkov:skip=CKV_AWS_356:Resource * only where AWS knows no other, each with its reason beside it
  #checkov:skip=CKV_AWS_111:writes without a resource are only those that AWS knows no resource for
  statement {
    sid       = "Steps"
    actions   = ["lambda:InvokeFunction"]
    resources = distinct(values(var.step_functions))
  }
  statement {
    sid       = "ChunksOfADistributedMap"
    actions   = ["states:StartExecution"]
    resources = values(local.arns)
  }
  statement {
    sid       = "ChunksUnderWay"
    actions   = ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"]
    resources = [for machine in values(local.machines) : "arn:${local.partition}:states:${local.region}:${local.account}:execution:${machine.name}/*"]
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

resource "aws_iam_role_policy" "this" {
  name   = "bring-tasks"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_sfn_state_machine" "this" {
  #checkov:skip=CKV_AWS_285:failures are logged; the data of executions stays out of logs, the ledger has it
  for_each = local.machines
  name     = each.value.name
  role_arn = aws_iam_role.this.arn
  type     = each.value.express ? "EXPRESS" : "STANDARD"
  definition = templatefile("${path.module}/machines/${each.value.file}", {
    function = var.step_functions[contains(var.small, each.value.plan) ? "small" : "large"]
  })

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  tracing_configuration {
    enabled = var.tracing
  }

  depends_on = [aws_iam_role_policy.this]
}
