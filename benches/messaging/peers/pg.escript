#!/usr/bin/env escript
%% The roles of the messaging benchmark, played by Erlang's own parts: `pg` groups and plain sends
%% for publish and subscribe, `erpc` for calls. No encryption.
%%
%% As in the other processes: `ready` when connected, `go` starts, `report key=value ...` when
%% measured, and the end of standard input ends it. Erlang's port mapper is told by ERL_EPMD_PORT.
-mode(compile).

-define(GROUP, bench).
%% Slots of the counters.
-define(COUNT, 1).
-define(MEASURING, 2).
-define(GAP, 3).

main([Role | Arguments]) ->
    Job = maps:from_list([pair(Argument) || Argument <- Arguments]),
    {ok, _} = net_kernel:start([node_name(maps:get("port", Job)), longnames]),
    erlang:set_cookie(node(), messaging),
    {ok, _} = pg:start_link(),
    [connect(node_name(Port)) || Port <- string:lexemes(maps:get("peers", Job, ""), ",")],
    play(Role, Job).

pair(Argument) ->
    [Key, Value] = string:split(Argument, "="),
    {Key, Value}.

number(Key, Job) ->
    list_to_integer(maps:get(Key, Job, "0")).

node_name(Port) ->
    list_to_atom("bench" ++ Port ++ "@127.0.0.1").

connect(Node) ->
    connect(Node, 1000).

connect(Node, 0) ->
    io:format("problem ~s does not answer~n", [Node]),
    halt(1);
connect(Node, Tries) ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> timer:sleep(20), connect(Node, Tries - 1)
    end.

%% Publishes flat out or at a rate to every member of the group.
play("publish", Job) ->
    Payload = binary:copy(<<16#5a>>, number("bytes", Job)),
    Members = members(length(nodes())),
    measure(Job, fun(Counters) -> publish(Members, Payload, number("rate", Job), Counters) end);
play("watch", Job) ->
    Counters = counters:new(3, []),
    Times = spawn_link(fun() -> times([], Counters) end),
    Stamped = number("stamped", Job) > 0,
    Watcher = spawn_opt(fun() -> watch(Stamped, Counters, Times, none) end,
                        [link, {message_queue_data, off_heap}]),
    ok = pg:join(?GROUP, Watcher),
    measure(Job, Counters, Times, fun(_) -> ok end);
play("local", Job) ->
    Counters = counters:new(3, [write_concurrency]),
    Subscribers = [spawn_link(fun() -> count(Counters) end)
                   || _ <- lists:seq(1, number("subscribers", Job))],
    ok = pg:join(?GROUP, Subscribers),
    Payload = binary:copy(<<16#5a>>, number("bytes", Job)),
    measure(Job, Counters, none, fun(_) -> flood_local(Subscribers, Payload, Counters, 0) end);
%% erpc needs nobody to serve; a sink takes the large messages.
play("serve", Job) ->
    Counters = counters:new(3, []),
    ok = pg:join(?GROUP, spawn_link(fun() -> count(Counters) end)),
    measure(Job, Counters, none, fun(_) -> ok end);
play("call", Job) ->
    [Node] = nodes(),
    AtOnce = number("at_once", Job),
    calls(Job, AtOnce, AtOnce =:= 1, fun() -> erpc:call(Node, erlang, binary_to_list, [payload()]) end);
play("gather", Job) ->
    Nodes = nodes(),
    calls(Job, 1, true, fun() -> erpc:multicall(Nodes, erlang, binary_to_list, [payload()]) end);
play("beside", Job) ->
    [Node] = nodes(),
    [Sink] = members(1),
    Large = binary:copy(<<16#5a>>, (16 bsl 20) - 1024),
    Start = fun() -> spawn_link(fun() -> flood([Sink], Large, counters:new(3, [])) end) end,
    Call = fun() -> erpc:call(Node, erlang, binary_to_list, [payload()]) end,
    calls(Job, 1, true, Call, Start);
play(Role, _) ->
    io:format("problem ~s is not known~n", [Role]),
    halt(1).

payload() ->
    binary:copy(<<16#5a>>, 64).

members(Count) ->
    case pg:get_members(?GROUP) of
        Members when length(Members) =:= Count -> Members;
        _ -> timer:sleep(10), members(Count)
    end.

%% Says ready, waits for go, works, and reports what was counted while it was measured.
measure(Job, Work) ->
    measure(Job, counters:new(3, []), none, Work).

measure(Job, Counters, Times, Work) ->
    io:format("ready~n"),
    io:get_line(""),
    spawn_link(fun() -> Work(Counters) end),
    timer:sleep(number("warm_ms", Job)),
    Before = counters:get(Counters, ?COUNT),
    counters:put(Counters, ?MEASURING, 1),
    Start = erlang:monotonic_time(nanosecond),
    timer:sleep(number("length_ms", Job)),
    Count = counters:get(Counters, ?COUNT) - Before,
    Length = erlang:monotonic_time(nanosecond) - Start,
    counters:put(Counters, ?MEASURING, 0),
    io:format("report count=~b missed=0 ns=~b~s~s~n",
              [Count, Length, quantiles(Times), gap(counters:get(Counters, ?GAP))]),
    io:get_line(""),
    halt(0).

quantiles(none) ->
    "";
quantiles(Times) ->
    Times ! {take, self()},
    receive
        {times, []} -> "";
        {times, Taken} ->
            Sorted = list_to_tuple(lists:sort(Taken)),
            At = fun(Percent) -> element(1 + (tuple_size(Sorted) - 1) * Percent div 100, Sorted) end,
            io_lib:format(" p50=~b p99=~b max=~b", [At(50), At(99), At(100)])
    end.

gap(0) -> "";
gap(Gap) -> io_lib:format(" gap=~b", [Gap]).

%% Keeps what took how long while it is measured.
times(Kept, Counters) ->
    receive
        {took, Time} ->
            case counters:get(Counters, ?MEASURING) of
                1 -> times([Time | Kept], Counters);
                _ -> times(Kept, Counters)
            end;
        {take, From} -> From ! {times, Kept}, times([], Counters)
    end.

publish(Members, Payload, 0, Counters) ->
    flood(Members, Payload, Counters);
publish(Members, Payload, Rate, Counters) ->
    pace(Members, Payload, Rate, Counters, erlang:monotonic_time(nanosecond), 0).

flood(Members, Payload, Counters) ->
    [Member ! {message, Payload} || Member <- Members],
    counters:add(Counters, ?COUNT, 1),
    flood(Members, Payload, Counters).

pace(Members, Payload, Rate, Counters, Start, Sent) ->
    Due = (erlang:monotonic_time(nanosecond) - Start) * Rate div 1000000000,
    [begin
         <<_:8/binary, Rest/binary>> = Payload,
         Stamped = <<(os:system_time(nanosecond)):64, Rest/binary>>,
         [Member ! {message, Stamped} || Member <- Members]
     end || _ <- lists:seq(Sent + 1, Due)],
    counters:add(Counters, ?COUNT, max(Due - Sent, 0)),
    timer:sleep(1),
    pace(Members, Payload, Rate, Counters, Start, max(Due, Sent)).

%% Subscribers that are behind hold the publisher up; else their queues would grow without bound.
flood_local(Subscribers, Payload, Counters, Sent) ->
    [Subscriber ! {message, Payload} || Subscriber <- Subscribers],
    keep_pace((Sent + 1) * length(Subscribers) - 50000, Counters),
    flood_local(Subscribers, Payload, Counters, Sent + 1).

keep_pace(AtLeast, Counters) ->
    case counters:get(Counters, ?COUNT) of
        Count when Count < AtLeast -> erlang:yield(), keep_pace(AtLeast, Counters);
        _ -> ok
    end.

count(Counters) ->
    receive
        {message, _} -> counters:add(Counters, ?COUNT, 1), count(Counters)
    end.

watch(false, Counters, _, _) ->
    count(Counters);
watch(true, Counters, Times, Last) ->
    receive
        {message, <<Sent:64, _/binary>>} ->
            Times ! {took, os:system_time(nanosecond) - Sent},
            Now = erlang:monotonic_time(nanosecond),
            case counters:get(Counters, ?MEASURING) of
                1 when Last =/= none ->
                    counters:put(Counters, ?GAP, max(counters:get(Counters, ?GAP), Now - Last));
                _ -> ok
            end,
            counters:add(Counters, ?COUNT, 1),
            watch(true, Counters, Times, Now)
    end.

calls(Job, AtOnce, Timed, Call) ->
    calls(Job, AtOnce, Timed, Call, fun() -> ok end).

calls(Job, AtOnce, Timed, Call, Start) ->
    Counters = counters:new(3, [write_concurrency]),
    Times = spawn_link(fun() -> times([], Counters) end),
    Caller = fun() -> keep_calling(Call, Timed, Counters, Times) end,
    measure(Job, Counters, Times, fun(_) ->
        Start(),
        [spawn_link(Caller) || _ <- lists:seq(1, AtOnce)],
        receive never -> ok end
    end).

keep_calling(Call, Timed, Counters, Times) ->
    Start = erlang:monotonic_time(nanosecond),
    Call(),
    counters:add(Counters, ?COUNT, 1),
    case Timed of
        true -> Times ! {took, erlang:monotonic_time(nanosecond) - Start};
        false -> ok
    end,
    keep_calling(Call, Timed, Counters, Times).
