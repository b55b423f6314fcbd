# For functions inside a VPC: ways to AWS's services that do not leave it. Without a VPC nothing of this is needed.
data "aws_region" "this" {}

locals {
  service = "com.amazonaws.${data.aws_region.this.name}"
  # S3 and DynamoDB by route; each of the others is paid by the hour.
  interfaces = toset(concat(["states", "secretsmanager", "kms", "logs", "sqs"], var.more_services))
}

resource "aws_security_group" "functions" {
  #checkov:skip=CKV2_AWS_5:the functions are in it, by the module that makes them
  name        = "${var.name}-functions"
  description = "Functions of ${var.name}: they call, and are not called"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "functions" {
  #checkov:skip=CKV_AWS_382:HTTPS alone; destinations are what route tables reach
  security_group_id = aws_security_group.functions.id
  description       = "HTTPS to endpoints"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Endpoints of AWS services for the functions of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id            = aws_security_group.endpoints.id
  description                  = "HTTPS from the functions"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.functions.id
}

resource "aws_vpc_endpoint" "gateway" {
  for_each          = toset(["s3", "dynamodb"])
  vpc_id            = var.vpc_id
  service_name      = "${local.service}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_tables
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.interfaces
  vpc_id              = var.vpc_id
  service_name        = "${local.service}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.subnets
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true
  tags                = { Name = "${var.name}-${each.key}" }
}
