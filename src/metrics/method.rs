//! The methods that etcd's server has, and gRPC's codes, as labels.
//!
//! Invariants
//! - All of them are shown from the start, those included that are still to come: so does etcd, and alerts that compare
//!   with zero need it.

use super::clients::Shape;

/// gRPC's codes by number, as labels.
pub const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

macro_rules! methods {
    ($($place:literal $name:ident $path:literal $shape:ident;)*) => {
        /// A method of etcd's API.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Method {
            $(#[doc = $path] $name,)*
        }

        impl Method {
            /// All of them, by place.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The method of a path.
            pub fn of(path: &str) -> Option<Self> {
                match path {
                    $($path => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its path.
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }

            /// Its place in `ALL`.
            pub fn place(self) -> usize {
                match self {
                    $(Self::$name => $place,)*
                }
            }

            /// How many messages go each way.
            pub fn shape(self) -> Shape {
                match self {
                    $(Self::$name => Shape::$shape,)*
                }
            }
        }
    };
}

methods! {
    // What is called most stands first: a path is compared with one after the other.
    0 KvRange "/etcdserverpb.KV/Range" Unary;
    1 KvPut "/etcdserverpb.KV/Put" Unary;
    2 KvTxn "/etcdserverpb.KV/Txn" Unary;
    3 KvDeleteRange "/etcdserverpb.KV/DeleteRange" Unary;
    4 KvCompact "/etcdserverpb.KV/Compact" Unary;
    5 KvRangeStream "/etcdserverpb.KV/RangeStream" ServerStream;
    6 Watch "/etcdserverpb.Watch/Watch" BidiStream;
    7 LeaseKeepAlive "/etcdserverpb.Lease/LeaseKeepAlive" BidiStream;
    8 LeaseGrant "/etcdserverpb.Lease/LeaseGrant" Unary;
    9 LeaseLeases "/etcdserverpb.Lease/LeaseLeases" Unary;
    10 LeaseRevoke "/etcdserverpb.Lease/LeaseRevoke" Unary;
    11 LeaseTimeToLive "/etcdserverpb.Lease/LeaseTimeToLive" Unary;
    12 MaintenanceAlarm "/etcdserverpb.Maintenance/Alarm" Unary;
    13 MaintenanceDefragment "/etcdserverpb.Maintenance/Defragment" Unary;
    14 MaintenanceDowngrade "/etcdserverpb.Maintenance/Downgrade" Unary;
    15 MaintenanceHash "/etcdserverpb.Maintenance/Hash" Unary;
    16 MaintenanceHashKV "/etcdserverpb.Maintenance/HashKV" Unary;
    17 MaintenanceMoveLeader "/etcdserverpb.Maintenance/MoveLeader" Unary;
    18 MaintenanceSnapshot "/etcdserverpb.Maintenance/Snapshot" ServerStream;
    19 MaintenanceStatus "/etcdserverpb.Maintenance/Status" Unary;
    20 MemberAdd "/etcdserverpb.Cluster/MemberAdd" Unary;
    21 MemberList "/etcdserverpb.Cluster/MemberList" Unary;
    22 MemberPromote "/etcdserverpb.Cluster/MemberPromote" Unary;
    23 MemberRemove "/etcdserverpb.Cluster/MemberRemove" Unary;
    24 MemberUpdate "/etcdserverpb.Cluster/MemberUpdate" Unary;
    25 HealthCheck "/grpc.health.v1.Health/Check" Unary;
    26 HealthList "/grpc.health.v1.Health/List" Unary;
    27 HealthWatch "/grpc.health.v1.Health/Watch" ServerStream;
    28 AuthDisable "/etcdserverpb.Auth/AuthDisable" Unary;
    29 AuthEnable "/etcdserverpb.Auth/AuthEnable" Unary;
    30 AuthRoleAdd "/etcdserverpb.Auth/RoleAdd" Unary;
    31 AuthRoleDelete "/etcdserverpb.Auth/RoleDelete" Unary;
    32 AuthRoleGet "/etcdserverpb.Auth/RoleGet" Unary;
    33 AuthRoleGrantPermission "/etcdserverpb.Auth/RoleGrantPermission" Unary;
    34 AuthRoleList "/etcdserverpb.Auth/RoleList" Unary;
    35 AuthRoleRevokePermission "/etcdserverpb.Auth/RoleRevokePermission" Unary;
    36 AuthStatus "/etcdserverpb.Auth/AuthStatus" Unary;
    37 AuthUserAdd "/etcdserverpb.Auth/UserAdd" Unary;
    38 AuthUserChangePassword "/etcdserverpb.Auth/UserChangePassword" Unary;
    39 AuthUserDelete "/etcdserverpb.Auth/UserDelete" Unary;
    40 AuthUserGet "/etcdserverpb.Auth/UserGet" Unary;
    41 AuthUserGrantRole "/etcdserverpb.Auth/UserGrantRole" Unary;
    42 AuthUserList "/etcdserverpb.Auth/UserList" Unary;
    43 AuthUserRevokeRole "/etcdserverpb.Auth/UserRevokeRole" Unary;
    44 Authenticate "/etcdserverpb.Auth/Authenticate" Unary;
}

impl Method {
    /// Its service and its name.
    pub fn parts(self) -> (&'static str, &'static str) {
        let path = self.path();
        path.strip_prefix('/').and_then(|path| path.rsplit_once('/')).unwrap_or(("", path))
    }
}
