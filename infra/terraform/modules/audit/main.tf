# Every read and write of images and of the table, besides the gateway's own audit log: who did it by AWS itself too.
resource "aws_cloudtrail" "this" {
  #checkov:skip=CKV_AWS_252:alarms come from metrics; the trail is evidence
  #checkov:skip=CKV2_AWS_10:events lie in the logs bucket; a copy in CloudWatch Logs would double what is paid
  name                          = var.name
  s3_bucket_name                = var.logs_bucket
  s3_key_prefix                 = "trail"
  kms_key_id                    = var.kms_key_arn
  enable_log_file_validation    = true
  include_global_service_events = true
  is_multi_region_trail         = var.all_regions

  advanced_event_selector {
    name = "Objects"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }
    field_selector {
      field       = "resources.ARN"
      starts_with = [for arn in var.bucket_arns : "${arn}/"]
    }
  }

  advanced_event_selector {
    name = "Table"
    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }
    field_selector {
      field  = "resources.type"
      equals = ["AWS::DynamoDB::Table"]
    }
    field_selector {
      field  = "resources.ARN"
      equals = [var.table_arn]
    }
  }

  advanced_event_selector {
    name = "Management"
    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }
}
