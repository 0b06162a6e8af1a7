"""A client without ModelMesh: librdkafka and the AsyncAPI document are all it takes (`pip install confluent-kafka`).

python examples/plain_kafka.py 127.0.0.1:9092 tumours '{"inputs": [1.0, 2.0]}'
"""

import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

kafka, model, body = sys.argv[1:4]
# The id is a label for the logs; the nonce identifies this request and its reply.
partition, request_id, nonce, seconds = 5, "example-1", uuid.uuid4().hex, 10

# The reply goes to the partition that the request names: start reading at its end before sending.
consumer = Consumer({"bootstrap.servers": kafka, "group.id": "unused", "enable.auto.commit": False})
_, end = consumer.get_watermark_offsets(TopicPartition("modelmesh.replies", partition), timeout=10)
consumer.assign([TopicPartition("modelmesh.replies", partition, end)])

producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True})
producer.produce(
    "modelmesh.requests",
    key=request_id,
    value=body,
    headers={
        "mm-id": request_id,
        "mm-nonce": nonce,
        "mm-model": model,
        "mm-deadline": str(int(1000 * (time.time() + seconds))),
        "mm-reply-topic": "modelmesh.replies",
        "mm-reply-partition": str(partition),
        "content-type": "application/json",
    },
)
producer.flush()

give_up = time.monotonic() + seconds
while time.monotonic() < give_up:
    record = consumer.poll(0.5)
    # Other clients may share the partition, and an answer may come twice: match it by the nonce.
    if record is not None and record.error() is None and record.key() == nonce.encode():
        headers = dict(record.headers())
        print(headers["mm-status"].decode(), record.value().decode())
        break
else:
    sys.exit("no answer within the deadline")
consumer.close()
