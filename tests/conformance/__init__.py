# SPDX-License-Identifier: Apache-2.0
"""The wire protocol from outside: both OCI conformance suites row by row, and our own tables."""
