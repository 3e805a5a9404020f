# A table of lease items, as EnsureTable makes it, protected; and a policy for each role,
# whose files are in ../iam.

variable "table" {
  type    = string
  default = "mailboxes"
}

variable "hash_key" {
  type        = string
  default     = "mailbox"
  description = "The name of the hash key, as NewLockStore is given it."
}

resource "aws_dynamodb_table" "leases" {
  name         = var.table
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = var.hash_key

  attribute {
    name = var.hash_key
    type = "S"
  }

  deletion_protection_enabled = true

  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_iam_policy" "role" {
  for_each = toset(["worker", "registrar", "viewer", "operator"])

  name = "lease-${each.key}-${var.table}"
  policy = replace(
    file("${path.module}/../iam/${each.key}.json"),
    "arn:aws:dynamodb:eu-west-1:123456789012:table/mailboxes",
    aws_dynamodb_table.leases.arn,
  )
}

output "policy_arns" {
  value = { for role, policy in aws_iam_policy.role : role => policy.arn }
}
