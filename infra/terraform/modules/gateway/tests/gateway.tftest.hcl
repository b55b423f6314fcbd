mock_provider "aws" {
  source = "../../mocks"
}

variables {
  environment = "test"
  region      = "eu-central-1"
  packages    = "../functions/tests/packages"
}

run "without_options" {
  assert {
    condition     = output.page == null && output.domain_target == null && length(module.audit) == 0 && length(module.network) == 0 && length(module.page) == 0
    error_message = "No page, no trail, no VPC."
  }
  assert {
    condition     = output.secrets_prefix == "isocenter-test/"
    error_message = "Names begin with the environment's."
  }
  assert {
    condition     = local.settings.ISOCENTER_AUTH == "keys" && !contains(keys(local.settings), "ISOCENTER_BLOBS_OPTIONS") && !contains(keys(local.settings), "ISOCENTER_PARAMETERS") && !contains(keys(local.settings), "ISOCENTER_LABELS_DETECTOR")
    error_message = "Functions are told of no option."
  }
}

run "all_of_it" {
  variables {
    oidc                 = { issuer = "https://login.example.org/", audience = "isocenter", scope_prefix = "isocenter/" }
    authorizer           = true
    page                 = true
    page_domain          = { name = "images.example.org", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
    web_acl_arn          = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/fence/11111111-2222-3333-4444-555555555555"
    vpc                  = { id = "vpc-0123456789abcdef0", subnets = ["subnet-0123456789abcdef0"], route_tables = ["rtb-0123456789abcdef0"] }
    trail                = true
    rekognition          = true
    parameters           = "/isocenter/test"
    object_lock_days     = 365
    replicas             = { raw = { bucket_arn = "arn:aws:s3:::copies", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555" } }
    reserved_concurrency = { upload_event = 5 }
    api_provisioned      = 1
    bulk_buckets         = ["scans-of-2019"]
    ocr_image            = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/isocenter-ocr:1.0"
    cors_origins         = ["https://viewer.example.org"]
    alarm_emails         = ["a@example.org"]
    monthly_budget       = 100
    stream               = true
  }
  assert {
    condition     = output.page.url == "https://images.example.org" && length(module.audit) == 1 && length(module.network) == 1
    error_message = "A page, a trail, a VPC."
  }
  assert {
    condition     = local.settings.ISOCENTER_AUTH == "keys+oidc" && local.settings.ISOCENTER_OIDC_ISSUER == "https://login.example.org/" && local.settings.ISOCENTER_OIDC_AUDIENCE == "isocenter" && local.settings.ISOCENTER_OIDC_SCOPE_PREFIX == "isocenter/"
    error_message = "Functions check tokens themselves too."
  }
  assert {
    condition     = local.settings.ISOCENTER_PARAMETERS == "/isocenter/test" && local.settings.ISOCENTER_LABELS_DETECTOR == "rekognition" && local.settings.ISOCENTER_REKOGNITION_REGION == "eu-central-1"
    error_message = "And are told of options."
  }
  assert {
    condition     = jsondecode(local.settings.ISOCENTER_BLOBS_OPTIONS) == { checksum_algorithm = "sha256" }
    error_message = "What is put into a locked bucket has a checksum."
  }
}

run "a_domain" {
  variables {
    domain = { name = "images.example.org", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
  }
  assert {
    condition     = output.url == "https://images.example.org" && output.domain_target == "d-1.execute-api.eu-central-1.amazonaws.com"
    error_message = "The address, and what its DNS record points to."
  }
}

run "a_page_before_an_address_that_is_closed" {
  command = plan
  variables {
    page   = true
    domain = { name = "images.example.org", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
  }
  expect_failures = [var.page]
}

run "a_web_acl_that_would_fence_nothing" {
  command = plan
  variables {
    web_acl_arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/fence/11111111-2222-3333-4444-555555555555"
  }
  expect_failures = [var.web_acl_arn]
}

run "a_domain_of_no_page" {
  command = plan
  variables {
    page_domain = { name = "images.example.org", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555" }
  }
  expect_failures = [var.page_domain]
}

run "a_fence_without_an_issuer" {
  command = plan
  variables {
    authorizer = true
  }
  expect_failures = [var.authorizer]
}

run "an_issuer_in_clear" {
  command = plan
  variables {
    oidc = { issuer = "http://login.example.org/", audience = "isocenter" }
  }
  expect_failures = [var.oidc]
}

run "a_name_that_is_none" {
  command = plan
  variables {
    environment = "Test_1"
  }
  expect_failures = [var.environment]
}

run "a_level_that_is_none" {
  command = plan
  variables {
    log_level = "loud"
  }
  expect_failures = [var.log_level]
}

run "a_bucket_that_is_an_address" {
  command = plan
  variables {
    bulk_buckets = ["s3://scans"]
  }
  expect_failures = [var.bulk_buckets]
}
