"""Ads: what a business spends on advertising, by Rutter's own clock."""

from __future__ import annotations

from tap_rutter.replication.per_parent import Parents
from tap_rutter.replication.synced_per_parent import SyncedPerParent
from tap_rutter.streams.base import SyncedStream


class Accounts(SyncedStream):
    """Accounts at advertising platforms."""

    name = "ads_accounts"
    path = "/ads/accounts"
    component = "AdsAccount"


class Campaigns(SyncedStream):
    """Advertising campaigns."""

    name = "ads_campaigns"
    path = "/ads/campaigns"
    component = "AdsCampaign"


class CampaignDailies(SyncedStream):
    """Costs and results of each campaign, day by day."""

    name = "ads_campaign_dailies"
    path = "/ads/campaigns/dailies"
    component = "AdsCampaignDaily"
    replication = SyncedPerParent(
        parents=Parents("/ads/campaigns", "campaigns"),
        parameter="id",
        column="campaign_id",
    )
    records_key = "campaign_dailies"
