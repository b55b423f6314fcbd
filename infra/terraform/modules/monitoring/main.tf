# What somebody is told of, and what shows how it goes.
data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_id
}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  functions = { for key, name in var.functions : key => { FunctionName = name } }
  machines  = { for key, arn in var.machines : key => { StateMachineArn = arn } }

  # Name -> what is measured, for whom, how, and above what it is too much.
  alarms = merge(
    { for key, dimensions in local.functions : "${key}-errors" => {
      namespace = "AWS/Lambda", metric = "Errors", dimensions = dimensions, statistic = "Sum", above = var.most_errors
      means     = "Calls of ${key} that ended in an error"
    } },
    { for key, dimensions in local.functions : "${key}-throttles" => {
      namespace = "AWS/Lambda", metric = "Throttles", dimensions = dimensions, statistic = "Sum", above = 0
      means     = "Calls of ${key} that found no room"
    } },
    { for key, dimensions in local.machines : "${key}-failed" => {
      namespace = "AWS/States", metric = "ExecutionsFailed", dimensions = dimensions, statistic = "Sum", above = 0
      means     = "Jobs of ${key} with chunks left: isocenter jobs resume does those again"
    } },
    { for key, dimensions in local.machines : "${key}-timed-out" => {
      namespace = "AWS/States", metric = "ExecutionsTimedOut", dimensions = dimensions, statistic = "Sum", above = 0
      means     = "Jobs of ${key} that took too long"
    } },
    {
      "dead-letters" = {
        namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = var.dead_letters_name }
        statistic = "Maximum", above = 0, means = "Objects that could not be taken in, or sweeps that failed"
      }
      "oldest-message" = {
        namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = var.queue_name }
        statistic = "Maximum", above = var.oldest_seconds, means = "Seconds for which an object has been waiting to be taken in"
      }
      "api-5xx" = {
        namespace = "AWS/ApiGateway", metric = "5xx", dimensions = { ApiId = var.api_id }, statistic = "Sum", above = var.most_errors
        means     = "Requests that were answered by 5xx"
      }
      "images-damaged" = {
        namespace = local.own, metric = "ImagesDamaged", dimensions = { service = var.service }, statistic = "Sum", above = 0
        means     = "Images whose bytes are not those that were taken in: isocenter scrub tells which"
      }
    },
  )

  # What the functions count themselves, by the metric's name; those of steps for each kind of step besides.
  own      = "Isocenter"
  received = ["Stored", "Duplicate", "Replaced", "Rejected", "Failed"]
  objects  = ["Taken", "Quarantined", "Again", "Refused"]
  stepped  = ["Done", "Rejected", "Unavailable"]
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${replace(each.key, ".", "-")}"
  alarm_description   = each.value.means
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.above
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "p99" {
  alarm_name          = "${var.name}-api-p99"
  alarm_description   = "Milliseconds that one in a hundred requests took at least"
  namespace           = "AWS/ApiGateway"
  metric_name         = "Latency"
  dimensions          = { ApiId = var.api_id }
  extended_statistic  = "p99"
  period              = 300
  evaluation_periods  = 3
  threshold           = var.p99_milliseconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Of what comes by bucket or manifest: one object that is no image is nobody's fault, a fifth of all is.
resource "aws_cloudwatch_metric_alarm" "quarantined" {
  alarm_name          = "${var.name}-quarantined"
  alarm_description   = "Percent of the objects that came within fifteen minutes, ten at least, that could not be taken in"
  evaluation_periods  = 1
  threshold           = var.quarantined_percent
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "share"
    label       = "Percent"
    expression  = "IF(FILL(taken, 0) + FILL(quarantined, 0) >= 10, 100 * FILL(quarantined, 0) / (FILL(taken, 0) + FILL(quarantined, 0)), 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { taken = "ObjectsTaken", quarantined = "ObjectsQuarantined" }
    content {
      id = metric_query.key
      metric {
        namespace   = local.own
        metric_name = metric_query.value
        dimensions  = { service = var.service }
        period      = 900
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for number, widget in [
    { title = "Requests", stat = "Sum", metrics = [for metric in ["Count", "4xx", "5xx"] : ["AWS/ApiGateway", metric, "ApiId", var.api_id]] },
    { title = "Latency of the API (p99)", stat = "p99", metrics = [["AWS/ApiGateway", "Latency", "ApiId", var.api_id]] },
    { title = "Calls", stat = "Sum", metrics = [for name in values(var.functions) : ["AWS/Lambda", "Invocations", "FunctionName", name]] },
    { title = "Errors", stat = "Sum", metrics = [for name in values(var.functions) : ["AWS/Lambda", "Errors", "FunctionName", name]] },
    { title = "Time of calls (p99)", stat = "p99", metrics = [for name in values(var.functions) : ["AWS/Lambda", "Duration", "FunctionName", name]] },
    { title = "Jobs begun", stat = "Sum", metrics = [for arn in values(var.machines) : ["AWS/States", "ExecutionsStarted", "StateMachineArn", arn]] },
    { title = "Jobs with chunks left", stat = "Sum", metrics = [for arn in values(var.machines) : ["AWS/States", "ExecutionsFailed", "StateMachineArn", arn]] },
    { title = "Objects waiting, and dead letters", stat = "Maximum", metrics = [
      for name in [var.queue_name, var.dead_letters_name] : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]
    ] },
    { title = "Images by the API", stat = "Sum", metrics = [for what in local.received : [local.own, "Images${what}", "service", var.service]] },
    { title = "Objects by bucket and manifest", stat = "Sum", metrics = [for what in local.objects : [local.own, "Objects${what}", "service", var.service]] },
    { title = "Images through steps", stat = "Sum", metrics = [
      for each in setproduct(var.steps, local.stepped) : [local.own, "Images${each[1]}", "service", var.service, "step", each[0]]
    ] },
    { title = "Time of a chunk in a step (p99)", stat = "p99", metrics = [for step in var.steps : [local.own, "StepTime", "service", var.service, "step", step]] },
    { title = "Images read anew, and damaged", stat = "Sum", metrics = [
      for what in ["ImagesChecked", "ImagesDamaged"] : [local.own, what, "service", var.service]
    ] },
    { title = "Jobs given again", stat = "Sum", metrics = [[local.own, "JobsGivenAgain", "service", var.service]] },
    ] : {
    type       = "metric", x = (number % 2) * 12, y = floor(number / 2) * 6, width = 12, height = 6
    properties = merge(widget, { region = data.aws_region.this.name, period = 300, view = "timeSeries", stacked = false })
  }] })
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = {
    "errors"          = "fields @timestamp, event, request_id, job | filter level = \"error\" | sort @timestamp desc | limit 100"
    "one job"         = "fields @timestamp, @log, event | filter job = \"ID-OF-THE-JOB\" | sort @timestamp asc"
    "slow beginnings" = "filter @type = \"REPORT\" | stats count(), pct(@initDuration, 50), pct(@initDuration, 99) by @log"
  }
  name            = "${var.name}/${each.key}"
  query_string    = each.value
  log_group_names = values(var.log_groups)
}

resource "aws_budgets_budget" "this" {
  count        = var.monthly_budget > 0 ? 1 : 0
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:environment$%s", var.environment)] # in a template the sign would escape what follows
  }
  dynamic "notification" {
    for_each = [80, 100]
    content {
      comparison_operator       = "GREATER_THAN"
      threshold                 = notification.value
      threshold_type            = "PERCENTAGE"
      notification_type         = notification.value == 100 ? "FORECASTED" : "ACTUAL"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }
}
