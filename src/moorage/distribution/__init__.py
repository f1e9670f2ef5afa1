# SPDX-License-Identifier: Apache-2.0
"""`/v2`: the OCI distribution API. One module a resource, one table of routes."""
