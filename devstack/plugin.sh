#!/bin/bash
#
# devstack/plugin.sh
# Puts nova-cells-persist on the Nova of a DevStack, and takes it off again
#
# DevStack sources this file with a mode and a phase. In every phase it is
# lib/nova that says where Nova is and which files it has.

# Save trace setting
_XTRACE_NOVA_CELLS_PERSIST=$(set +o | grep xtrace)
set +o xtrace

# Functions
# ---------

# The virtual environment that Nova runs from; nothing if it runs from that of
# the system. Of DevStack's functions pip_install knows GLOBAL_VENV, and
# pip_uninstall does not.
function nova_cells_persist_venv {
    local prefix=${NOVA_BIN_DIR%/bin}
    if [[ -f $prefix/pyvenv.cfg ]]; then
        echo $prefix
    fi
}

# The files of Nova's services that there are. nova.conf is that of nova-api,
# the metadata API, the scheduler, the super-conductor and nova-manage; each
# cell has one for its conductor and its console proxies. nova-compute's is
# made anew from nova.conf whenever DevStack starts it, so there is one only
# since the last time.
function nova_cells_persist_confs {
    local cell conf confs="$NOVA_CONF $NOVA_CPU_CONF"
    for cell in $(seq 1 $NOVA_NUM_CELLS); do
        confs+=" $(conductor_conf $cell)"
    done
    for conf in $confs; do
        if [[ -f $conf ]]; then
            echo $conf
        fi
    done
}

# Whether the tables are made from this node: the one on which init_nova makes
# the databases. The conductor of a cell on another node finds them made, and a
# node with nova-compute alone has no database.
function nova_cells_persist_has_databases {
    is_service_enabled $DATABASE_BACKENDS && is_service_enabled n-api
}

function install_nova_cells_persist {
    local release extras=""
    release=$($NOVA_BIN_DIR/nova-manage --version)
    # Their databases are under sqlalchemy-migrate, and so are our tables.
    case $release in
        25.*|26.*|27.*) extras="migrate" ;;
    esac
    PIP_VIRTUAL_ENV=$(nova_cells_persist_venv) \
        setup_develop $NOVA_CELLS_PERSIST_DIR $extras
}

function uninstall_nova_cells_persist {
    PIP_VIRTUAL_ENV=$(nova_cells_persist_venv) pip_uninstall nova-cells-persist
}

function enable_nova_cells_persist {
    local conf
    # DevStack writes to nova.conf in the background at that time, and two that
    # edit one file lose what the other has written.
    async_wait configure_neutron_nova
    for conf in $(nova_cells_persist_confs); do
        iniset $conf DEFAULT config_source cells_persist
        iniset $conf cells_persist driver nova_cells_persist
        iniset $conf cells_persist mirror_build_requests \
            $NOVA_CELLS_PERSIST_MIRROR_BUILD_REQUESTS
        iniset $conf cells_persist cell_timeout \
            $NOVA_CELLS_PERSIST_CELL_TIMEOUT
        iniset $conf cells_persist revisions_kept \
            $NOVA_CELLS_PERSIST_REVISIONS_KEPT
    done
}

function disable_nova_cells_persist {
    local conf option
    for conf in $(nova_cells_persist_confs); do
        inidelete $conf DEFAULT config_source
        for option in driver mirror_build_requests cell_timeout \
                revisions_kept; do
            inidelete $conf cells_persist $option
        done
    done
}

# The tables in the API database and in every mapped cell, cell0 too.
function sync_nova_cells_persist {
    $NOVA_BIN_DIR/nova-cells-persist --config-file $NOVA_CONF db sync
}

# Whatever becomes of it, unstack.sh has to go on, and the next stack.sh makes
# all databases anew.
function drop_nova_cells_persist {
    if [[ -x $NOVA_BIN_DIR/nova-cells-persist && -f $NOVA_CONF ]]; then
        $NOVA_BIN_DIR/nova-cells-persist --config-file $NOVA_CONF \
            db drop --yes --force || \
            echo "The tables of nova-cells-persist were not dropped"
    fi
}

function check_nova_cells_persist {
    local status=0
    $NOVA_BIN_DIR/nova-cells-persist-status --config-file $NOVA_CONF \
        upgrade check || status=$?
    # 1 is for warnings, of what is left to do before an upgrade.
    if [[ $status -gt 1 ]]; then
        die $LINENO "nova-cells-persist is not as it should be, see above"
    fi
}

# Have lib/tempest install the tempest plugin, which it does in the phase
# test-config. It says 0 for none. A job of Zuul names the folder itself, and
# needs no extra: tempest is where the plugin is put.
function register_nova_cells_persist_tempest {
    local plugins=${TEMPEST_PLUGINS:-0}
    if [[ "$plugins" == "0" ]]; then
        plugins=""
    fi
    case " $plugins " in
        *" $NOVA_CELLS_PERSIST_DIR "*|*" $NOVA_CELLS_PERSIST_DIR["*) ;;
        *)
            plugins+="${plugins:+ }$NOVA_CELLS_PERSIST_DIR[tempest]"
            ;;
    esac
    TEMPEST_PLUGINS=$plugins
}

# Restore xtrace. What is done in a phase is traced as stack.sh is.
$_XTRACE_NOVA_CELLS_PERSIST

# Phases
# ------

if is_service_enabled nova; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        # Nova has been installed: the plugin goes beside it.
        echo_summary "Installing nova-cells-persist"
        install_nova_cells_persist
        if is_service_enabled tempest; then
            register_nova_cells_persist_tempest
        fi

    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        # Not before: init_nova has just run, which makes Nova's own tables and
        # maps the cells, and "db sync" needs both. And not after: what follows
        # is start_nova_api and start_nova, and with the plugin on neither
        # nova-api nor a nova-conductor starts without its tables. What
        # nova-compute reads has the lines from then on, when
        # start_nova_compute copies nova.conf to nova-cpu.conf.
        echo_summary "Configuring nova-cells-persist"
        enable_nova_cells_persist
        if nova_cells_persist_has_databases; then
            sync_nova_cells_persist
        fi

    elif [[ "$1" == "stack" && "$2" == "extra" ]]; then
        # All services have been started.
        if nova_cells_persist_has_databases; then
            echo_summary "Checking nova-cells-persist"
            check_nova_cells_persist
        fi

    elif [[ "$1" == "unstack" ]]; then
        # unstack.sh stops Nova after this phase, and clean.sh calls it with
        # --all, which stops the database too: so the tables go now, and the
        # services that use them before.
        stop_nova
        disable_nova_cells_persist
        if nova_cells_persist_has_databases; then
            drop_nova_cells_persist
        fi

    elif [[ "$1" == "clean" ]]; then
        # After unstack.
        uninstall_nova_cells_persist
    fi
fi
