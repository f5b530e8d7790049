"""A CRI client: cri.py SOCKET. Each line of standard input is [METHOD, REQUEST], each line of output {"ok": ANSWER} or
{"error": [CODE, MESSAGE]}. Only the fields below are known: others of a request are an error, others of an answer are left out.
Source: k8s.io/cri-api, runtime.v1."""

import json
import sys

import grpc

# Of each message: field names with number and kind. A kind is a scalar, a message, [kind] for a list, or `map`.
ID_MAPPING = {"host_id": (1, "int"), "container_id": (2, "int"), "length": (3, "int")}
MODES = {
    "network": (1, "int"),
    "pid": (2, "int"),
    "ipc": (3, "int"),
    "target_id": (4, "str"),
    "userns_options": (5, {"mode": (1, "int"), "uids": (2, [ID_MAPPING]), "gids": (3, [ID_MAPPING])}),
}
SANDBOX_METADATA = {"name": (1, "str"), "uid": (2, "str"), "namespace": (3, "str"), "attempt": (4, "int")}
METADATA = {"name": (1, "str"), "attempt": (2, "int")}
IMAGE = {"image": (1, "str")}
NUMBER = {"value": (1, "int")}
SANDBOX_CONFIG = {
    "metadata": (1, SANDBOX_METADATA),
    "hostname": (2, "str"),
    "log_directory": (3, "str"),
    "labels": (6, "map"),
    "annotations": (7, "map"),
    "linux": (8, {"cgroup_parent": (1, "str"), "security_context": (2, {"namespace_options": (1, MODES)})}),
}
MOUNT = {
    "container_path": (1, "str"),
    "host_path": (2, "str"),
    "readonly": (3, "int"),
    "uidMappings": (6, [ID_MAPPING]),
    "gidMappings": (7, [ID_MAPPING]),
    "recursive_read_only": (8, "int"),
}
CONTAINER_CONFIG = {
    "metadata": (1, METADATA),
    "image": (2, IMAGE),
    "command": (3, ["str"]),
    "args": (4, ["str"]),
    "envs": (6, [{"key": (1, "str"), "value": (2, "str")}]),
    "mounts": (7, [MOUNT]),
    "log_path": (11, "str"),
    "stdin": (12, "int"),
    "tty": (14, "int"),
    "linux": (
        15,
        {
            "resources": (1, {"cpu_shares": (3, "int"), "memory_limit_in_bytes": (4, "int"), "oom_score_adj": (5, "int")}),
            "security_context": (2, {"namespace_options": (3, MODES)}),
        },
    ),
}
SANDBOX = {"id": (1, "str"), "metadata": (2, SANDBOX_METADATA), "state": (3, "int")}
CONTAINER_STATUS = {
    "id": (1, "str"),
    "metadata": (2, METADATA),
    "state": (3, "int"),
    "exit_code": (7, "int"),
    "reason": (10, "str"),
    "message": (11, "str"),
}
CONTAINER = {"id": (1, "str"), "pod_sandbox_id": (2, "str"), "metadata": (3, METADATA), "state": (6, "int")}
STATS = {
    "cpu": (2, {"usage_core_nano_seconds": (2, NUMBER)}),
    "memory": (3, {"working_set_bytes": (2, NUMBER)}),
}
OF_SANDBOX = {"pod_sandbox_id": (1, "str")}
OF_CONTAINER = {"container_id": (1, "str")}
CONDITION = {"type": (1, "str"), "status": (2, "int")}
FEATURES = {"recursive_read_only_mounts": (1, "int"), "user_namespaces": (2, "int")}
HANDLER = {"name": (1, "str"), "features": (2, FEATURES)}

METHODS = {
    "RunPodSandbox": ({"config": (1, SANDBOX_CONFIG), "runtime_handler": (2, "str")}, OF_SANDBOX),
    "StopPodSandbox": (OF_SANDBOX, {}),
    "RemovePodSandbox": (OF_SANDBOX, {}),
    "PodSandboxStatus": (OF_SANDBOX, {"status": (1, dict(SANDBOX, network=(5, {"ip": (1, "str")})))}),
    "ListPodSandbox": ({}, {"items": (1, [SANDBOX])}),
    "CreateContainer": (
        {"pod_sandbox_id": (1, "str"), "config": (2, CONTAINER_CONFIG), "sandbox_config": (3, SANDBOX_CONFIG)},
        OF_CONTAINER,
    ),
    "StartContainer": (OF_CONTAINER, {}),
    "StopContainer": (dict(OF_CONTAINER, timeout=(2, "int")), {}),
    "RemoveContainer": (OF_CONTAINER, {}),
    "CheckpointContainer": (dict(OF_CONTAINER, location=(2, "str"), timeout=(3, "int")), {}),
    "ContainerStatus": (OF_CONTAINER, {"status": (1, CONTAINER_STATUS)}),
    "ListContainers": ({}, {"containers": (1, [CONTAINER])}),
    "ContainerStats": (OF_CONTAINER, {"stats": (1, STATS)}),
    "UpdateContainerResources": (
        dict(OF_CONTAINER, linux=(2, {"cpu_shares": (3, "int"), "memory_limit_in_bytes": (4, "int")})),
        {},
    ),
    "ExecSync": (
        dict(OF_CONTAINER, cmd=(2, ["str"]), timeout=(3, "int")),
        {"stdout": (1, "str"), "stderr": (2, "str"), "exit_code": (3, "int")},
    ),
    "Status": ({}, {"status": (1, {"conditions": (1, [CONDITION])}), "runtime_handlers": (3, [HANDLER])}),
    "ImageStatus": ({"image": (1, IMAGE)}, {"image": (1, {"id": (1, "str")})}),
}
# How long one call may take, in seconds.
DEADLINE = 60


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, kind, value):
    if kind == "int":
        return varint(number << 3) + varint(int(value))
    if kind == "map":
        pair = {"key": (1, "str"), "value": (2, "str")}
        return b"".join(field(number, pair, {"key": k, "value": v}) for k, v in value.items())
    if isinstance(kind, list):
        return b"".join(field(number, kind[0], one) for one in value)
    payload = value.encode() if kind == "str" else encode(kind, value)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def encode(schema, message):
    return b"".join(field(*schema[name], value) for name, value in message.items())


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def decode(schema, data):
    """Fields that are absent have the value that protobuf means by that."""
    message = {}
    for name, (_, kind) in schema.items():
        message[name] = [] if isinstance(kind, list) else {} if isinstance(kind, dict) else {"int": 0, "str": ""}[kind]
    fields = {number: (name, kind) for name, (number, kind) in schema.items()}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = read_varint(data, at)
        elif wire == 2:
            length, at = read_varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            at += {1: 8, 5: 4}[wire]
            continue
        name, kind = fields.get(tag >> 3, (None, None))
        if name is None:
            continue
        one = kind[0] if isinstance(kind, list) else kind
        if one == "int":
            value -= (value >> 63) << 64
        elif one == "str":
            value = value.decode(errors="replace")
        else:
            value = decode(one, value)
        if isinstance(kind, list):
            message[name].append(value)
        else:
            message[name] = value
    return message


def main():
    channel = grpc.insecure_channel("unix://" + sys.argv[1])
    for line in sys.stdin:
        method, message = json.loads(line)
        request, answer = METHODS[method]
        service = "ImageService" if method.startswith("Image") else "RuntimeService"
        call = channel.unary_unary(f"/runtime.v1.{service}/{method}")
        try:
            done = {"ok": decode(answer, call(encode(request, message), timeout=DEADLINE, wait_for_ready=True))}
        except grpc.RpcError as error:
            done = {"error": [error.code().name, error.details()]}
        print(json.dumps(done), flush=True)


main()
