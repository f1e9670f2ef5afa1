# SPDX-License-Identifier: Apache-2.0
"""The event log: one entry for every change, written in the transaction of the change."""
