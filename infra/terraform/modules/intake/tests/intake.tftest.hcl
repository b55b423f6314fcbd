mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name             = "isocenter-test"
  bucket           = "raw"
  kms_key_id       = "11111111-2222-3333-4444-555555555555"
  function_arn     = "arn:aws:lambda:eu-central-1:123456789012:function:isocenter-test-upload-event:live"
  function_timeout = 300
}

run "as_it_is_without_options" {
  assert {
    condition     = aws_sqs_queue.incoming.visibility_timeout_seconds == 1800 && jsondecode(aws_sqs_queue.incoming.redrive_policy).maxReceiveCount == 5
    error_message = "A message is not brought again while a function has it."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.incoming.scaling_config[0].maximum_concurrency == 50 && aws_lambda_event_source_mapping.incoming.function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "Of a batch, only what failed comes again."
  }
}

run "batches_that_fill" {
  variables {
    batching_seconds = 20
    most_at_once     = 5
  }
  assert {
    condition     = aws_lambda_event_source_mapping.incoming.maximum_batching_window_in_seconds == 20 && aws_lambda_event_source_mapping.incoming.scaling_config[0].maximum_concurrency == 5
    error_message = "As was asked."
  }
}

run "one_at_once" {
  command = plan
  variables {
    most_at_once = 1
  }
  expect_failures = [var.most_at_once]
}
