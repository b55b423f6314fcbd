mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name              = "isocenter-dev"
  environment       = "dev"
  kms_key_id        = "11111111-2222-3333-4444-555555555555"
  functions         = { api = "isocenter-dev-api", bulk = "isocenter-dev-bulk" }
  log_groups        = { api = "/aws/lambda/isocenter-dev-api" }
  machines          = { "annotate.express" = "arn:aws:states:eu-central-1:123456789012:stateMachine:isocenter-dev-annotate-express" }
  api_id            = "abcdef"
  queue_name        = "isocenter-dev-incoming"
  dead_letters_name = "isocenter-dev-dead-letters"
  service           = "isocenter-dev"
}

run "what_is_measured" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 2 * 2 + 2 * 1 + 4
    error_message = "Two alarms for each function and each machine, and four besides."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : can(regex("^[a-z0-9-]+$", alarm.alarm_name))])
    error_message = "The name of an alarm has no dot."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "Each alarm is told on the topic."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["images-damaged"].threshold == 0 && aws_cloudwatch_metric_alarm.this["images-damaged"].dimensions == tomap({ service = "isocenter-dev" })
    error_message = "One damaged image is one too many."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.quarantined.threshold == 20 && length(aws_cloudwatch_metric_alarm.quarantined.metric_query) == 3
    error_message = "A fifth of what comes may be no image."
  }
  assert {
    condition     = length(aws_budgets_budget.this) == 0 && length(aws_sns_topic_subscription.email) == 0
    error_message = "No budget and nobody to tell, unless asked for."
  }
}

run "a_budget_and_who_is_told" {
  variables {
    emails              = ["a@example.org", "b@example.org"]
    monthly_budget      = 250
    quarantined_percent = 50
  }
  assert {
    condition     = aws_budgets_budget.this[0].limit_amount == "250" && aws_budgets_budget.this[0].limit_unit == "USD"
    error_message = "The budget is what was given, in dollars."
  }
  assert {
    condition     = one([for filter in aws_budgets_budget.this[0].cost_filter : filter.values[0]]) == "user:environment$dev"
    error_message = "The budget counts what carries the environment's tag."
  }
  assert {
    condition     = toset([for told in aws_budgets_budget.this[0].notification : told.notification_type]) == toset(["ACTUAL", "FORECASTED"])
    error_message = "Told at 80 percent spent, and where all of it is foreseen."
  }
  assert {
    condition     = toset([for each in aws_sns_topic_subscription.email : each.endpoint]) == toset(["a@example.org", "b@example.org"])
    error_message = "Each is told."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.quarantined.threshold == 50
    error_message = "The share is what was given."
  }
}

run "a_share_that_never_comes" {
  command = plan
  variables {
    quarantined_percent = 100
  }
  expect_failures = [var.quarantined_percent]
}
