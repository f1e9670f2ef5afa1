# SPDX-License-Identifier: Apache-2.0
"""One suite for every blob store, and what is special about some."""
