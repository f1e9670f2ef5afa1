# SPDX-License-Identifier: Apache-2.0
"""The database contract, and what SQLite adds to it."""
