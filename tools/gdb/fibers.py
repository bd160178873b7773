"""Fibers in gdb: `source tools/gdb/fibers.py`, in a live process or on a core file.

    fibers            list the fibers of every thread
    fiber-bt ID       backtrace of one fiber ("all" for every one)
    fiber ID          make `bt`, `frame N`, `info locals` speak of that fiber, until `fiber none`

How it works. The scheduler keeps its live fibers on a list (src/fiber/scheduler.h). A fiber that is not
running stands in CONTEXT_SWITCH, where it left its frame pointer in ctx.resume_fp; its registers are in the
jump buffer, where glibc has mangled rbp, rsp and rip with a secret. The true rbp is resume_fp, so the
secret is their difference and need not be read from the thread. An unwinder then tells gdb that the
caller of the innermost frame is the fiber. No register of the program is written.
"""

import gdb
from gdb.unwinder import Unwinder

STATES = {1: "ready", 2: "running", 3: "parked", 4: "finished"}
MASK = (1 << 64) - 1


def _int(v):
    return int(v) & MASK


def _entries(head, type_name, field):
    """The structs of an intrusive list (src/base/list.h)."""
    t = gdb.lookup_type(type_name)
    offset = next(f.bitpos // 8 for f in t.fields() if f.name == field)
    node = head["next"]
    while node != head.address:
        yield gdb.Value(_int(node) - offset).cast(t.pointer()).dereference()
        node = node["next"]


def scheds():
    s = gdb.parse_and_eval("fiber_all_scheds")
    while s != 0:
        yield s.dereference()
        s = s["next"]


def fibers():
    for s in scheds():
        for f in _entries(s["all"], "struct fiber", "all"):
            yield s, f


def find(text):
    try:
        wanted = int(text, 0)
    except ValueError:
        raise gdb.GdbError("usage: a fiber's number, as `fibers` shows it")
    for s, f in fibers():
        if int(f["id"]) == wanted:
            return s, f
    raise gdb.GdbError("there is no live fiber %d" % wanted)


def is_running(s, f):
    return s["current"] == f.address


def has_run(f):
    return bool(f["ctx"]["started"])


def _rotate_right(v, n):
    return ((v >> n) | (v << (64 - n))) & MASK


def saved_registers(f):
    """The registers with which `f` will go on (x86-64), or None."""
    if gdb.selected_inferior().architecture().name() != "i386:x86-64":
        return None
    ctx = f["ctx"]
    buf = ctx["env"][0]["__jmpbuf"]
    word = [_int(buf[i]) for i in range(8)]
    rbp = _int(ctx["resume_fp"])
    secret = _rotate_right(word[1], 17) ^ rbp
    regs = {
        "rbx": word[0],
        "rbp": rbp,
        "r12": word[2],
        "r13": word[3],
        "r14": word[4],
        "r15": word[5],
        "rsp": _rotate_right(word[6], 17) ^ secret,
        "rip": _rotate_right(word[7], 17) ^ secret,
    }
    lo = _int(ctx["stack_lo"])
    if not lo <= regs["rsp"] <= lo + _int(ctx["stack_bytes"]):
        return None
    return regs


def frame_pointer_walk(f):
    """Return addresses by the chain of frame pointers: for processors without saved_registers."""
    word = gdb.lookup_type("unsigned long")
    lo = _int(f["ctx"]["stack_lo"])
    hi = lo + _int(f["ctx"]["stack_bytes"])
    fp = _int(f["ctx"]["resume_fp"])
    while lo <= fp < hi - 16:
        pair = gdb.Value(fp).cast(word.pointer())
        yield _int(pair[1])
        older = _int(pair[0])
        if older <= fp:
            break
        fp = older


class FiberUnwinder(Unwinder):
    """Makes the selected fiber the caller of the innermost real frame."""

    def __init__(self):
        super().__init__("sallyport fibers")
        self.regs = None
        self.sp = None

    def select(self, regs):
        self.regs = None
        gdb.invalidate_cached_frames()
        self.sp = _int(gdb.newest_frame().read_register("rsp"))
        self.regs = regs
        gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.regs is None:
            return None
        sp = pending.read_register("rsp")
        if _int(sp) != self.sp:
            return None

        class Id:
            pass

        frame_id = Id()
        # gdb takes a caller whose frame lies below its callee's for a corrupt stack, and a fiber's stack may lie
        # below the stack the process stands on: let this frame seem to lie just below the fiber's.
        frame_id.sp = gdb.Value(min(_int(sp), self.regs["rsp"] - 16)).cast(sp.type)
        frame_id.pc = pending.read_register("rip")
        info = pending.create_unwind_info(frame_id)
        for name, value in self.regs.items():
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


unwinder = FiberUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def describe_pc(pc):
    sal = gdb.find_pc_line(pc - 1)
    block = gdb.block_for_pc(pc - 1)
    while block and not block.function:
        block = block.superblock
    name = block.function.print_name if block and block.function else "??"
    where = " at %s:%d" % (sal.symtab.filename, sal.line) if sal.symtab else ""
    return "0x%016x in %s ()%s" % (pc, name, where)


def backtrace(s, f):
    print('fiber %d "%s", %s' % (int(f["id"]), f["name"].string(), state_of(s, f)))
    if is_running(s, f):
        gdb.execute("backtrace")
        return
    if not has_run(f):
        print("#0  has not run yet; starts in %s" % f["fn"].format_string(symbols=True))
        return
    regs = saved_registers(f)
    if regs is None:
        for i, pc in enumerate(frame_pointer_walk(f)):
            print("#%-2d %s" % (i, describe_pc(pc)))
        return
    unwinder.select(regs)
    try:
        text = gdb.execute("backtrace", to_string=True)
    finally:
        unwinder.select(None)
    for line in text.splitlines():
        if line.startswith("#0 "):
            continue  # where the thread really is
        print(line)
        if " trampoline ()" in line:
            break  # below lies only what makecontext laid down


def state_of(s, f):
    if is_running(s, f):
        return "running"
    return STATES.get(int(f["state"]), "?") if has_run(f) else "new"


class Fibers(gdb.Command):
    """List the fibers of every thread."""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def invoke(self, arg, from_tty):
        n = 0
        print("%8s  %-9s %-20s %-24s %s" % ("id", "state", "name", "context", "flags"))
        for s, f in fibers():
            flags = [k for k in ("cancelled", "shielded", "deaf") if bool(f[k])]
            if int(f["deadline_ns"]) != (1 << 63) - 1:
                flags.append("deadline=%d" % int(f["deadline_ns"]))
            print(
                "%8d  %-9s %-20s %-24s %s"
                % (
                    int(f["id"]),
                    state_of(s, f),
                    f["name"].string(),
                    f["context"].string() or "-",
                    " ".join(flags),
                )
            )
            n += 1
        print("%d fibers" % n)


class FiberBt(gdb.Command):
    """Backtrace of a fiber: fiber-bt ID, or fiber-bt all."""

    def __init__(self):
        super().__init__("fiber-bt", gdb.COMMAND_STACK)

    def invoke(self, arg, from_tty):
        if arg.strip() == "all":
            for s, f in list(fibers()):
                backtrace(s, f)
                print("")
            return
        backtrace(*find(arg))


class FiberSelect(gdb.Command):
    """Let stack commands speak of a fiber: fiber ID; fiber none goes back to the thread."""

    def __init__(self):
        super().__init__("fiber", gdb.COMMAND_STACK)

    def invoke(self, arg, from_tty):
        if arg.strip() == "none":
            unwinder.select(None)
            gdb.execute("frame 0")
            return
        s, f = find(arg)
        if is_running(s, f):
            raise gdb.GdbError("fiber %d is running: it is what the thread shows" % int(f["id"]))
        regs = saved_registers(f) if has_run(f) else None
        if regs is None:
            raise gdb.GdbError("no registers of fiber %d to go by; try fiber-bt" % int(f["id"]))
        unwinder.select(regs)
        gdb.execute("frame 1")


Fibers()
FiberBt()
FiberSelect()
