# SPDX-License-Identifier: Apache-2.0
"""The content services at their edges, seen through the protocol."""
