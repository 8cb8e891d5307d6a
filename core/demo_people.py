"""List the people of the demo, and the groups of each."""

from collections.abc import Mapping

PEOPLE: Mapping[str, str] = {
    "requester-1": "requesters",
    "requester-2": "requesters",
    "manager-1": "managers",
    "manager-2": "managers",
    "manager-3": "managers",
    "director-1": "directors",
    "director-2": "directors",
    "fraud-1": "fraud-analysts",
    "fraud-2": "fraud-analysts",
    "steward-1": "data-stewards",
    "security-1": "security",
    "release-1": "release-managers",
    "hr-1": "hr",
    "privacy-1": "privacy",
    "operator-1": "operators",
    "operator-2": "operators",
    "auditor-1": "auditors",
    "admin-1": "admins",
}
"""The ids of the demo people, each with the group of the person."""
