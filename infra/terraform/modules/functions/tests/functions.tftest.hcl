mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                    = "isocenter-test"
  packages                = "tests/packages"
  packages_bucket         = "isocenter-test-packages-123456789012"
  environment             = { ISOCENTER_AUTH = "keys", ISOCENTER_LOG_LEVEL = "info" }
  kms_key_arn             = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  table_arn               = "arn:aws:dynamodb:eu-central-1:123456789012:table/isocenter-test"
  raw_bucket_arn          = "arn:aws:s3:::raw"
  deidentified_bucket_arn = "arn:aws:s3:::deidentified"
  queue_arn               = "arn:aws:sqs:eu-central-1:123456789012:isocenter-test-incoming"
  dead_letters_arn        = "arn:aws:sqs:eu-central-1:123456789012:isocenter-test-dead-letters"
  machine_arns            = { annotate = "arn:aws:states:eu-central-1:123456789012:stateMachine:isocenter-test-annotate" }
  secrets_prefix          = "isocenter-test/"
}

run "as_they_are_without_options" {
  assert {
    condition     = toset(keys(aws_lambda_function.this)) == toset(["api", "upload_event", "step_small", "step_large", "bulk", "maintenance"])
    error_message = "Six functions."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.runtime == "python3.12" && function.architectures == tolist(["arm64"]) && function.package_type == "Zip" && length(function.layers) == 1 && function.publish])
    error_message = "Each of the packages, for what these are for."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.reserved_concurrent_executions == -1 && length(function.snap_start) == 0 && length(function.vpc_config) == 0])
    error_message = "No bound, no snapshot, no VPC."
  }
  assert {
    condition     = length(aws_lambda_provisioned_concurrency_config.api) == 0
    error_message = "Nothing is kept warm."
  }
  assert {
    condition     = toset([for key, function in aws_lambda_function.this : key if length(function.dead_letter_config) > 0]) == toset(["maintenance"])
    error_message = "Only maintenance is called without being waited for."
  }
  assert {
    condition     = alltrue([for key, role in data.aws_iam_policy_document.this : length(setintersection(toset([for statement in role.statement : statement.sid]), toset(["Rekognition", "Settings", "Network", "WhatAManifestNames", "WhetherItIsThere"]))) == 0])
    error_message = "No function may do what was not asked for."
  }
  assert {
    condition     = toset([for key, role in data.aws_iam_policy_document.this : key if contains([for statement in role.statement : statement.sid], "Queue")]) == toset(["upload_event"])
    error_message = "One function reads the queue."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.environment[0].variables["ISOCENTER_LOG_LEVEL"] == "info"])
    error_message = "Each is told its settings."
  }
  assert {
    condition     = jsondecode(aws_lambda_function.this["bulk"].environment[0].variables["ISOCENTER_PROCESS_URLS"]) == ["s3://raw/bulk/"] && !contains(keys(aws_lambda_function.this["api"].environment[0].variables), "ISOCENTER_PROCESS_URLS")
    error_message = "A manifest names what lies below bulk/."
  }
}

run "more_settings_win" {
  variables {
    more_environment = { ISOCENTER_LOG_LEVEL = "debug" }
  }
  assert {
    condition     = aws_lambda_function.this["api"].environment[0].variables["ISOCENTER_LOG_LEVEL"] == "debug" && aws_lambda_function.this["api"].environment[0].variables["ISOCENTER_AUTH"] == "keys"
    error_message = "What is said besides wins, and takes nothing else away."
  }
}

run "a_snapshot_of_the_api" {
  variables {
    snap_start = true
  }
  assert {
    condition     = toset([for key, function in aws_lambda_function.this : key if length(function.snap_start) > 0]) == toset(["api"])
    error_message = "The API alone."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.ephemeral_storage[0].size <= 512 if length(function.snap_start) > 0])
    error_message = "AWS takes no snapshot of a function with more than 512 MB below /tmp."
  }
}

run "a_snapshot_on_python_3_11" {
  command = plan
  variables {
    packages   = "tests/packages-3.11"
    snap_start = true
  }
  expect_failures = [aws_lambda_function.this, check.glibc]
}

run "packages_that_load_here_alone" {
  command = plan
  variables {
    packages = "tests/packages-3.11"
  }
  expect_failures = [check.glibc]
}

run "packages_that_are_too_large" {
  command = plan
  variables {
    packages = "tests/packages-too-large"
  }
  expect_failures = [aws_lambda_function.this]
}

run "kept_warm" {
  variables {
    api_provisioned      = 3
    reserved_concurrency = { api = 20, upload_event = 5 }
  }
  assert {
    condition     = aws_lambda_provisioned_concurrency_config.api[0].provisioned_concurrent_executions == 3 && aws_lambda_provisioned_concurrency_config.api[0].qualifier == "live"
    error_message = "Of the alias that is called."
  }
  assert {
    condition     = aws_lambda_function.this["api"].reserved_concurrent_executions == 20 && aws_lambda_function.this["upload_event"].reserved_concurrent_executions == 5 && aws_lambda_function.this["bulk"].reserved_concurrent_executions == -1
    error_message = "Those that were named, and no others."
  }
}

run "in_a_vpc" {
  variables {
    network = { subnets = ["subnet-0123456789abcdef0"], security_groups = ["sg-0123456789abcdef0"] }
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.vpc_config[0].subnet_ids == toset(["subnet-0123456789abcdef0"]) && function.vpc_config[0].security_group_ids == toset(["sg-0123456789abcdef0"])])
    error_message = "All of them."
  }
  assert {
    condition     = alltrue([for role in data.aws_iam_policy_document.this : contains([for statement in role.statement : statement.sid], "Network")])
    error_message = "Lambda makes network interfaces in the role's name."
  }
}

run "rekognition" {
  variables {
    rekognition = true
  }
  assert {
    condition     = toset([for key, role in data.aws_iam_policy_document.this : key if contains([for statement in role.statement : statement.sid], "Rekognition")]) == toset(["api", "step_small", "step_large"])
    error_message = "Those that look at pictures."
  }
}

run "settings_in_ssm" {
  variables {
    parameters = "/isocenter/test"
  }
  assert {
    condition     = alltrue([for role in data.aws_iam_policy_document.this : toset(flatten([for statement in role.statement : tolist(statement.resources) if statement.sid == "Settings"])) == toset(["arn:aws:ssm:eu-central-1:123456789012:parameter/isocenter/test", "arn:aws:ssm:eu-central-1:123456789012:parameter/isocenter/test/*"])])
    error_message = "What lies below the path, and no more."
  }
}

run "buckets_of_bulks" {
  variables {
    bulk_buckets = ["scans-of-2019", "scans.of.2020"]
  }
  assert {
    condition     = jsondecode(aws_lambda_function.this["bulk"].environment[0].variables["ISOCENTER_PROCESS_URLS"]) == ["s3://raw/bulk/", "s3://scans-of-2019", "s3://scans.of.2020"]
    error_message = "The function is told of them."
  }
  assert {
    condition     = toset([for key, role in data.aws_iam_policy_document.this : key if contains([for statement in role.statement : statement.sid], "WhatAManifestNames")]) == toset(["bulk"])
    error_message = "And no other reads them."
  }
  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.this["bulk"].statement : tolist(statement.actions) if contains(["WhatAManifestNames", "WhetherItIsThere"], statement.sid)])) == toset(["s3:GetObject", "s3:ListBucket"])
    error_message = "Nothing in them is changed."
  }
}

run "text_is_read_by_an_image" {
  variables {
    ocr_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/isocenter-ocr:1.0"
  }
  assert {
    condition     = aws_lambda_function.this["step_large"].package_type == "Image" && aws_lambda_function.this["step_large"].image_uri == var.ocr_image
    error_message = "The function of pixels is the image."
  }
  assert {
    condition     = aws_lambda_function.this["step_large"].handler == null && aws_lambda_function.this["step_large"].runtime == null && aws_lambda_function.this["step_large"].filename == null && length(coalesce(aws_lambda_function.this["step_large"].layers, [])) == 0
    error_message = "AWS takes an image with none of these."
  }
  assert {
    condition     = alltrue([for key, function in aws_lambda_function.this : function.package_type == "Zip" && function.image_uri == null if key != "step_large"])
    error_message = "All others are the zips."
  }
}

run "an_image_of_another_registry" {
  command = plan
  variables {
    ocr_image = "images.example.org/isocenter-ocr:1.0"
  }
  expect_failures = [var.ocr_image]
}

run "warm_and_from_a_snapshot" {
  command = plan
  variables {
    api_provisioned = 1
    snap_start      = true
  }
  expect_failures = [var.api_provisioned]
}

run "more_warm_than_may_run" {
  command = plan
  variables {
    api_provisioned      = 5
    reserved_concurrency = { api = 2 }
  }
  expect_failures = [var.api_provisioned]
}

run "a_bound_of_nothing_we_have" {
  command = plan
  variables {
    reserved_concurrency = { step = 2 }
  }
  expect_failures = [var.reserved_concurrency]
}

run "a_queue_read_by_one" {
  command = plan
  variables {
    reserved_concurrency = { upload_event = 1 }
  }
  expect_failures = [var.reserved_concurrency]
}

run "a_prefix_without_its_slash" {
  command = plan
  variables {
    secrets_prefix = "isocenter-test"
  }
  expect_failures = [var.secrets_prefix]
}

run "a_path_that_ends_with_a_slash" {
  command = plan
  variables {
    parameters = "/isocenter/test/"
  }
  expect_failures = [var.parameters]
}

run "longer_than_lambda_lives" {
  command = plan
  variables {
    upload_event_timeout = 901
    step_timeout         = 5
  }
  expect_failures = [var.upload_event_timeout, var.step_timeout]
}

run "a_bucket_that_is_an_address" {
  command = plan
  variables {
    bulk_buckets = ["s3://scans"]
  }
  expect_failures = [var.bulk_buckets]
}

run "each_on_its_own_keys" {
  assert {
    condition = jsonencode({ for key, role in data.aws_iam_policy_document.this : key => sort(flatten([for statement in role.statement : tolist(statement.resources) if statement.sid == "ImagesByKey"])) }) == jsonencode({
      api          = ["arn:aws:s3:::deidentified/deidentified/*", "arn:aws:s3:::raw/answers/*", "arn:aws:s3:::raw/raw/*", "arn:aws:s3:::raw/uploads/*"]
      upload_event = ["arn:aws:s3:::raw/claimed/*", "arn:aws:s3:::raw/incoming/*", "arn:aws:s3:::raw/processed/*", "arn:aws:s3:::raw/quarantine/*", "arn:aws:s3:::raw/raw/*"]
      step_small   = ["arn:aws:s3:::deidentified/deidentified/*", "arn:aws:s3:::raw/raw/*"]
      step_large   = ["arn:aws:s3:::deidentified/deidentified/*", "arn:aws:s3:::raw/raw/*"]
      bulk         = ["arn:aws:s3:::raw/bulk-state/*", "arn:aws:s3:::raw/raw/*"]
      maintenance  = ["arn:aws:s3:::deidentified/deidentified/*", "arn:aws:s3:::raw/raw/*", "arn:aws:s3:::raw/uploads/*"]
    })
    error_message = "No function touches what is another's."
  }
  assert {
    condition     = toset(flatten([for role in data.aws_iam_policy_document.this : [for statement in role.statement : tolist(statement.actions) if contains(flatten([tolist(statement.resources)]), "arn:aws:s3:::raw/bulk/*")]])) == toset(["s3:GetObject"])
    error_message = "What is put for bulks is read and stays as it is."
  }
}

run "more_stores" {
  variables {
    more_environment = { ISOCENTER_STORES = "[\"raw\", \"research\", \"deidentified\"]" }
  }
  assert {
    condition     = alltrue([for role in data.aws_iam_policy_document.this : contains(flatten([for statement in role.statement : tolist(statement.resources) if statement.sid == "ImagesByKey"]), "arn:aws:s3:::raw/research/*")])
    error_message = "A store of one's own can be worked on."
  }
}
