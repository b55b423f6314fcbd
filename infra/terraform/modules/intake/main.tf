# From an object below incoming/ to the function that takes it in: event, queue, batches, and where the hopeless go.
data "aws_caller_identity" "this" {}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600 # 14 days, the most there is
  kms_master_key_id         = var.kms_key_id
}

resource "aws_sqs_queue" "incoming" {
  name                       = "${var.name}-incoming"
  message_retention_seconds  = 345600
  visibility_timeout_seconds = 6 * var.function_timeout # six times the function's, as Lambda's documentation asks
  kms_master_key_id          = var.kms_key_id
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.most_received
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.incoming.arn]
  })
}

resource "aws_cloudwatch_event_rule" "created" {
  name        = "${var.name}-incoming"
  description = "Objects that were put below incoming/ of the raw bucket"
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [var.bucket] }
      object = { key = [{ prefix = "incoming/" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule      = aws_cloudwatch_event_rule.created.name
  target_id = "incoming"
  arn       = aws_sqs_queue.incoming.arn
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

data "aws_iam_policy_document" "send" {
  for_each = { incoming = aws_sqs_queue.incoming.arn, dead_letters = aws_sqs_queue.dead_letters.arn }
  statement {
    sid       = "EventsOfTheRule"
    actions   = ["sqs:SendMessage"]
    resources = [each.value]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.created.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "incoming" {
  queue_url = aws_sqs_queue.incoming.id
  policy    = data.aws_iam_policy_document.send["incoming"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.send["dead_letters"].json
}

resource "aws_lambda_event_source_mapping" "incoming" {
  event_source_arn                   = aws_sqs_queue.incoming.arn
  function_name                      = var.function_arn
  batch_size                         = 10
  maximum_batching_window_in_seconds = var.batching_seconds
  function_response_types            = ["ReportBatchItemFailures"]
  scaling_config {
    maximum_concurrency = var.most_at_once
  }
}
