mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name         = "isocenter-test"
  vpc_id       = "vpc-0123456789abcdef0"
  subnets      = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  route_tables = ["rtb-0123456789abcdef0"]
}

run "endpoints" {
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["states", "secretsmanager", "kms", "logs", "sqs"])
    error_message = "The services that every function calls."
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && endpoint.vpc_endpoint_type == "Interface" && endpoint.subnet_ids == toset(var.subnets)])
    error_message = "By their own names, in the subnets that were given."
  }
  assert {
    condition     = alltrue([for name, endpoint in aws_vpc_endpoint.gateway : endpoint.service_name == "com.amazonaws.eu-central-1.${name}" && endpoint.vpc_endpoint_type == "Gateway" && endpoint.route_table_ids == toset(var.route_tables)])
    error_message = "S3 and DynamoDB by route."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.from_port == 443 && aws_vpc_security_group_ingress_rule.endpoints.to_port == 443 && aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == null
    error_message = "Only the functions reach the endpoints, by HTTPS."
  }
  assert {
    condition     = output.network.subnets == var.subnets && length(output.network.security_groups) == 1
    error_message = "What the functions are told."
  }
}

run "more_services" {
  variables {
    more_services = ["rekognition", "ssm", "xray"]
  }
  assert {
    condition     = length(aws_vpc_endpoint.interface) == 8 && aws_vpc_endpoint.interface["rekognition"].service_name == "com.amazonaws.eu-central-1.rekognition"
    error_message = "Those that options call besides."
  }
}
