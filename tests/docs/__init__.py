# SPDX-License-Identifier: Apache-2.0
"""The documents are true: what they name exists, what they show can be run."""
