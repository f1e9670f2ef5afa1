# SPDX-License-Identifier: Apache-2.0
"""Tests of moving what a registry stands on while it serves."""
