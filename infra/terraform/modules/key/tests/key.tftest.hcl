mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "isocenter-test"
}

run "without_a_trail" {
  assert {
    condition     = aws_kms_key.this.enable_key_rotation && !contains([for statement in data.aws_iam_policy_document.key.statement : statement.sid], "TheTrailWritesEncrypted")
    error_message = "No trail uses the key."
  }
}

run "with_a_trail" {
  variables {
    trail = true
  }
  assert {
    condition     = contains([for statement in data.aws_iam_policy_document.key.statement : statement.sid], "TheTrailWritesEncrypted")
    error_message = "The trail writes encrypted."
  }
}

run "gone_at_once" {
  command = plan
  variables {
    deletion_days = 1
  }
  expect_failures = [var.deletion_days]
}
