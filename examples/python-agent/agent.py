"""A verbs agent in Python, with nothing but the standard library: the line protocol in front of a toy HCA.

    vrdma check --driver-cmd 'python3 examples/python-agent/agent.py'

`--fault NAME` plants a fault, to see the kit find it: lost-completion, swapped-bytes, wrong-length, early-destroy, crash.
"""

import base64
import json
import sys

import toy_hca
from toy_hca import Cq, Hca, Memory, Refused, need

FAULT = sys.argv[sys.argv.index('--fault') + 1] if '--fault' in sys.argv else None


class Machine:
    """One virtual machine: its HCA, its memory, and the objects that the kit has given numbers."""

    def __init__(self, spec, hcas, limits, events):
        arena = spec['arena']
        self.memory = Memory(arena['base'], arena['bytes'])
        self.hca = Hca(spec['vm'], hcas, self.memory, limits, events)
        self.limits, self.pds, self.cqs, self.mrs, self.qps = limits['attributes'], {}, {}, {}, {}

    @staticmethod
    def get(table, number):
        need(number in table, 'there is no such object')
        return table[number]

    def queryDevice(self, _):
        return self.hca.limits

    def queryPort(self, _):
        return self.hca.port

    def createPd(self, call):
        need(len(self.pds) < self.limits['maxPd'], 'all protection domains are taken', 'ENOMEM')
        self.pds[call['pd']] = object()

    def destroyPd(self, call):
        pd = self.get(self.pds, call['pd'])
        users = [*self.mrs.values(), *self.qps.values()]
        need(all(user.pd is not pd for user in users), 'it is in use', 'EBUSY')
        del self.pds[call['pd']]

    def createCq(self, call):
        need(1 <= call['cqe'] <= self.limits['maxCqe'], 'cqe is beyond the limit')
        need(len(self.cqs) < self.limits['maxCq'], 'all completion queues are taken', 'ENOMEM')
        self.cqs[call['cq']] = Cq(call['cq'], call['cqe'])
        return {'cqe': call['cqe']}

    def destroyCq(self, call):
        cq = self.get(self.cqs, call['cq'])
        if FAULT != 'early-destroy':
            need(not cq.users, 'it is in use', 'EBUSY')
        del self.cqs[call['cq']]

    def reqNotifyCq(self, call):
        cq = self.get(self.cqs, call['cq'])
        if not call['solicitedOnly']:
            cq.armed = 'any'
        elif cq.armed == 'no':
            cq.armed = 'solicited'

    def regMr(self, call):
        pd, addr, length = self.get(self.pds, call['pd']), call['addr'], call['length']
        need(1 <= length <= self.limits['maxMrSizeBytes'] and addr >= 0, 'this is no range')
        need(self.memory.holds(addr, length), 'it is not all in memory', 'EFAULT')
        return self.made(call['mr'], self.hca.new_mr(pd, addr, addr + length, call['access']))

    def getDmaMr(self, call):
        return self.made(call['mr'], self.hca.new_mr(self.get(self.pds, call['pd']), 0, 1 << 53, call['access']))

    def made(self, number, mr):
        self.mrs[number] = mr
        return {'lkey': mr.lkey, 'rkey': mr.rkey}

    def deregMr(self, call):
        del self.hca.keys[self.get(self.mrs, call['mr']).lkey]
        del self.mrs[call['mr']]

    def createQp(self, call):
        cqs = [self.get(self.cqs, call[name]) for name in ('sendCq', 'recvCq')]
        qp = self.hca.new_qp(self.get(self.pds, call['pd']), call, *cqs)
        self.qps[call['qp']] = qp
        return {'qpNum': qp.number, 'cap': qp.cap}

    def modifyQp(self, call):
        if FAULT == 'crash' and call['attributes'].get('qpState') == 'ERR':
            raise RuntimeError('a planted crash')
        self.get(self.qps, call['qp']).modify(call['attributes'])

    def queryQp(self, call):
        return self.get(self.qps, call['qp']).query()

    def destroyQp(self, call):
        qp = self.get(self.qps, call['qp'])
        qp.reset()
        qp.send_cq.users.remove(qp)
        qp.recv_cq.users.remove(qp)
        del self.qps[call['qp']], self.hca.qps[qp.number]

    def addGid(self, call):
        self.hca.add_gid(call['index'], call['gid'])

    def delGid(self, call):
        self.hca.del_gid(call['index'])

    def postSend(self, call):
        qp = self.get(self.qps, call['qp'])
        for request in call['requests']:
            if 'inlineData' in request:
                request['inlineData'] = base64.b64decode(request['inlineData'])
        return self.post(call['requests'], qp.post_send)

    def postRecv(self, call):
        return self.post(call['requests'], self.get(self.qps, call['qp']).post_recv)

    @staticmethod
    def post(requests, post):
        for posted, request in enumerate(requests):
            try:
                post(request)
            except Refused as refused:
                return {'errno': refused.errno, 'text': str(refused), 'posted': posted}
        return {}

    def pollCq(self, call):
        entries = self.get(self.cqs, call['cq']).entries
        taken = entries[: call['max']]
        del entries[: call['max']]
        if FAULT == 'wrong-length':
            taken = [{**each, 'byteLen': each['byteLen'] + 1} if each.get('byteLen', 0) > 100 else each for each in taken]
        return {'completions': taken}

    def readMemory(self, call):
        data = self.memory.bytes[call['at'] : call['at'] + call['length']]
        return {'bytes': base64.b64encode(data).decode()}

    def writeMemory(self, call):
        data = base64.b64decode(call['bytes'])
        self.memory.bytes[call['at'] : call['at'] + len(data)] = data


class Agent:
    def __init__(self):
        self.machines, self.events = [], []

    def open(self, request):
        hcas, self.events = [], []
        self.machines = [Machine(spec, hcas, request['limits'], self.events) for spec in request['machines']]
        hcas.extend(machine.hca for machine in self.machines)
        return {'machines': [{} for _ in self.machines]}

    def settle(self):
        """Lets everything happen that can."""
        while any([qp.work() for machine in self.machines for qp in machine.qps.values()]):
            pass

    def call(self, call):
        if call['call'] == 'settle':
            return self.settle()
        return getattr(self.machines[call['vm']], call['call'])(call)

    def calls(self, calls):
        results, events = [], []
        for call in calls:
            try:
                results.append(self.call(call) or {})
            except Refused as refused:
                results.append({'errno': refused.errno, 'text': str(refused)})
            events += [{'vm': vm, 'cq': cq, 'at': len(results) - 1} for vm, cq in self.events]
            self.events.clear()
        return {'results': results, 'events': events}

    def answer(self, request):
        if 'hello' in request:
            lacks = ['UC', 'UD', 'GSI', 'SQD', 'createAh']
            return {'hello': {'protocol': 'vrdma-agent', 'version': 1, 'name': 'python toy', 'lacks': lacks}}
        if 'open' in request:
            return {'open': self.open(request['open'])}
        return self.calls(request['calls'])


def plant(fault):
    """Faults in the HCA, to be found."""
    if fault == 'lost-completion':
        add = Cq.add
        Cq.add = lambda cq, hca, solicited, **c: None if c['wrId'] == 3 else add(cq, hca, solicited, **c)
    if fault == 'swapped-bytes':
        scatter = toy_hca.Qp.scatter
        toy_hca.Qp.scatter = lambda qp, sges, at, data: scatter(qp, sges, at, data[::-1] if len(data) == 2 else data)


def main():
    plant(FAULT)
    agent = Agent()
    for line in sys.stdin:
        request = json.loads(line)
        answer = {'id': request['id'], **agent.answer(request)}
        sys.stdout.write(json.dumps(answer, separators=(',', ':')) + '\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
