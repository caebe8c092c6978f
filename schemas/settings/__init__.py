"""Settings: what there is (`sections`), and how file, environment and flags make it (`loading`)."""

from schemas.settings.gateway import GatewaySettings, OidcSettings, SmtpSettings
from schemas.settings.input import InputSettings
from schemas.settings.loading import InvalidSettingsError, SettingsSource, load_settings
from schemas.settings.sections import (
    Guarantee,
    IncidentMode,
    KafkaSettings,
    LogSettings,
    ProcessingSettings,
    RaySettings,
    RegistrySettings,
    RepartitionSettings,
    Settings,
    StreamSettings,
    TopicSettings,
    WorkerSettings,
)

__all__ = [
    "GatewaySettings",
    "Guarantee",
    "IncidentMode",
    "InputSettings",
    "InvalidSettingsError",
    "KafkaSettings",
    "LogSettings",
    "OidcSettings",
    "ProcessingSettings",
    "RaySettings",
    "RegistrySettings",
    "RepartitionSettings",
    "Settings",
    "SettingsSource",
    "SmtpSettings",
    "StreamSettings",
    "TopicSettings",
    "WorkerSettings",
    "load_settings",
]
