#!/usr/bin/env python3
"""Drover from Python, with nothing but Python: runs a pipeline over the gateway's JSON API and follows its loss.

    python3 drover_client.py http://127.0.0.1:7580 pipeline.json

pipeline.json is a PipelineSpec as JSON ({"name": ..., "inputs": {...}, "steps": [...]}); inputs are keys of the object store (drover upload
FILE prints one). The key comes from DROVER_KEY.
"""
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

PATIENCE_SECONDS = 120
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")


class Drover:
    def __init__(self, address, key):
        self.address, self.key = address.rstrip("/"), key

    def open(self, rpc, request):
        """Calls an RPC such as "drover.gateway.v1.GatewayService/ListPipelines"; gives the open response."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        call = urllib.request.Request(f"{self.address}/v1/rpc/{rpc}", json.dumps(request).encode(), headers)
        try:
            return urllib.request.urlopen(call)
        except urllib.error.HTTPError as e:
            if e.code == 503:
                raise ConnectionError(f"{rpc}: the service behind the gateway is away") from None
            status = json.load(e)
            raise SystemExit(f"error: {status['message']} ({status['details'][0]['reason']})") from None

    def call(self, rpc, **request):
        with self.open(rpc, request) as answer:
            return json.load(answer)

    def watch(self, name):
        """Events of a pipeline until it ends; a connection that breaks is made again from the newest revision, for two minutes."""
        revision, pause, broken_at = 0, 0.25, None
        while True:
            try:
                with self.open("drover.gateway.v1.GatewayService/WatchPipeline", {"name": name, "fromRevision": revision}) as lines:
                    for line in lines:
                        answer = json.loads(line)
                        if "error" in answer:
                            raise ConnectionError(answer["error"]["message"])
                        event = answer["event"]
                        pause, broken_at, revision = 0.25, None, int(event["revision"])
                        yield event
                        if not event.get("step") and event["event"].get("stateChanged") in ENDED:
                            return
                # Python takes a stream that is cut off for one that ended: only the pipeline's last state is its end.
                raise ConnectionError("the gateway broke off")
            # A gateway that dies may also leave half a line.
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as e:
                broken_at = broken_at or time.monotonic()
                if time.monotonic() - broken_at > PATIENCE_SECONDS:
                    raise SystemExit(f"error: the gateway does not answer: {e}") from None
                time.sleep(pause)
                pause = min(pause * 2, 4)


def main():
    drover = Drover(sys.argv[1], os.environ["DROVER_KEY"])
    with open(sys.argv[2], encoding="utf-8") as file:
        spec = json.load(file)
    # The same request id twice is one pipeline: safe to send again when the answer was lost.
    pipeline = drover.call("drover.gateway.v1.GatewayService/CreatePipeline", requestId=str(uuid.uuid4()), spec=spec)["pipeline"]
    name = pipeline["job"]["name"]
    print(name)
    for event in drover.watch(name):
        what = event["event"]
        if "stepMetrics" in what:
            print(f"[{event['step']}] step {what['stepMetrics']['step']}  loss {what['stepMetrics']['loss']:.4f}")
        elif "stateChanged" in what:
            print(f"[{event['step'] or 'pipeline'}] {what['stateChanged'].removeprefix('JOB_STATE_').lower()}")
    job = drover.call("drover.gateway.v1.GatewayService/GetPipeline", name=name)["pipeline"]["job"]
    if job["state"] != "JOB_STATE_SUCCEEDED":
        raise SystemExit(f"error: {(job.get('failure') or {}).get('message', job['state'])}")


if __name__ == "__main__":
    try:
        main()
    except OSError as e:
        raise SystemExit(f"error: {e}") from None
