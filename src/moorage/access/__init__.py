# SPDX-License-Identifier: Apache-2.0
"""Who asks, and may they: principals, credentials, tokens and the policy of the registry."""
